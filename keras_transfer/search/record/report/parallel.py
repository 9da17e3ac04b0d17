"""Parallel coordinates: a line a trial, from its score through its values."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from keras_transfer.search.record.axes import Axis, axis_of, score_axis, settings_text, text_of
from keras_transfer.search.record.records import SearchRecord, TrialRecord
from keras_transfer.search.record.report.elements import color, element, shortened

_APART, _LEFT, _RIGHT = 130.0, 110.0, 60.0
_TOP, _HEIGHT = 40.0, 300.0
# Below the axes, for what a trial does not have.
_NONE = _TOP + _HEIGHT + 34.0
_LONGEST = 19


def parallel_coordinates(search: SearchRecord) -> Element:
    """The drawing, an SVG element.

    Args:
        search: with one trial at least.
    """
    axes = [score_axis(search), *map(axis_of, search.differing)]
    width = _LEFT + _APART * (len(axes) - 1) + _RIGHT
    # The best on top.
    drawn = [x for x in search.trials if x.score is None] + search.ranked[::-1]
    lines = [_line(search, trial, axes) for trial in drawn]
    columns = zip(*(_values(trial, axes) for trial in search.trials), strict=True)
    lacking = [None in column for column in columns]
    return element(
        "svg",
        element("defs", _gradient()),
        *lines,
        *(_axis(axis, i, lacks) for i, (axis, lacks) in enumerate(zip(axes, lacking, strict=True))),
        id="parallel",
        width=width,
        height=_NONE + 20.0,
        viewBox=f"0 0 {width:.0f} {_NONE + 20:.0f}",
        role="img",
        aria_label="Hyper-parameters and score of each trial",
    )


def _values(trial: TrialRecord, axes: Sequence[Axis]) -> list[object]:
    return [trial.score, *(trial.values.get(axis.name) for axis in axes[1:])]


def _line(search: SearchRecord, trial: TrialRecord, axes: Sequence[Axis]) -> Element:
    values = zip(axes, _values(trial, axes), strict=True)
    heights = [_height(axis.place(value)) for axis, value in values]
    score = axes[0].place(trial.score)
    told = settings_text([*trial.values.items()])
    return element(
        "polyline",
        element("title", f"trial {trial.name}: {text_of(trial.score)} ({trial.status}); {told}"),
        class_=f"trial {trial.status}",
        data_trial=trial.name,
        points=" ".join(f"{_across(i):.1f},{height:.1f}" for i, height in enumerate(heights)),
        stroke=color(score),
    )


def _axis(axis: Axis, number: int, lacking: bool) -> Element:
    across = _across(number)
    ticks = [(_height(place), text) for place, text in axis.ticks()]
    if lacking:
        ticks.append((_height(None), "none"))
    return element(
        "g",
        _stem(across, is_score=number == 0),
        element("text", axis.name, class_="name", x=across, y=_TOP - 18, text_anchor="middle"),
        *(_tick(across, height, text) for height, text in ticks),
        # What a mouse takes hold of to choose a range.
        element(
            "rect",
            class_="brush",
            data_axis=number,
            x=across - 12,
            y=_TOP - 8,
            width=24.0,
            height=_NONE - _TOP + 18,
        ),
        element("rect", class_="chosen", x=across - 7, y=0.0, width=14.0, height=0.0),
    )


def _stem(across: float, *, is_score: bool) -> Element:
    if is_score:
        return element("rect", x=across - 2, y=_TOP, width=4.0, height=_HEIGHT, fill="url(#scores)")
    return element("line", class_="axis", x1=across, x2=across, y1=_TOP, y2=_TOP + _HEIGHT)


def _tick(across: float, height: float, text: str) -> Element:
    return element(
        "text",
        element("title", text),
        shortened(text, _LONGEST),
        class_="tick",
        x=across - 7,
        y=height + 4,
        text_anchor="end",
    )


def _gradient() -> Element:
    stops = [
        element("stop", offset=f"{part * 10}%", stop_color=color(1 - part / 10))
        for part in range(11)
    ]
    return element("linearGradient", *stops, id="scores", x1="0", x2="0", y1="0", y2="1")


def _across(number: int) -> float:
    return _LEFT + _APART * number


def _height(place: float | None) -> float:
    return _NONE if place is None else _TOP + _HEIGHT * (1 - place)
