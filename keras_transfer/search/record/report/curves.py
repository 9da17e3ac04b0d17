"""Learning curves of all trials: the best in bold, those that were pruned with a cross."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from keras_transfer.search.record.axes import Axis, score_axis, text_of
from keras_transfer.search.record.records import SearchRecord, TrialRecord
from keras_transfer.search.record.report.elements import color, element

_WIDTH, _HEIGHT = 820.0, 300.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 70.0, 16.0, 20.0, 44.0
_MOST_TICKS = 12


def learning_curves(search: SearchRecord) -> Element | None:
    """The drawing, an SVG element; None where nothing has been measured.

    Args:
        search: of any state.
    """
    curves = {trial.name: _points(search, trial) for trial in search.trials}
    values = [value for points in curves.values() for _, value in points]
    if not values:
        return None
    epochs = max(epoch for points in curves.values() for epoch, _ in points)
    low, high = min(values), max(values)
    is_log = score_axis(search).is_log and low > 0
    across, up = Axis("epoch", None, 1, max(epochs, 2)), Axis("", None, low, high, is_log)
    scores, best = score_axis(search), search.ranked[:1]
    drawn = [x for x in search.trials if x.score is None] + search.ranked[::-1]
    groups = [
        _curve(trial, curves[trial.name], across, up, color(scores.place(trial.score)), best)
        for trial in drawn
        if curves[trial.name]
    ]
    return element(
        "svg",
        *_frame(search, across, up),
        *groups,
        id="curves",
        width=_WIDTH,
        height=_HEIGHT,
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        role="img",
        aria_label=f"{search.objective} of each trial by epoch",
    )


def _points(search: SearchRecord, trial: TrialRecord) -> list[tuple[int, float]]:
    curve = trial.curves.get(search.objective, ())
    return [(epoch, value) for epoch, value in enumerate(curve, 1) if math.isfinite(value)]


def _curve(
    trial: TrialRecord,
    points: list[tuple[int, float]],
    across: Axis,
    up: Axis,
    stroke: str,
    best: list[TrialRecord],
) -> Element:
    places = [(_x(across, epoch), _y(up, value)) for epoch, value in points]
    is_best = trial in best
    reached = [place for place, (epoch, _) in zip(places, points, strict=True)]
    at_best = [p for p, (epoch, _) in zip(places, points, strict=True) if epoch == trial.best_epoch]
    marks = [element("circle", cx=x, cy=y, r=5.0) for x, y in at_best if is_best]
    if len(places) == 1 and not marks:
        marks = [element("circle", cx=x, cy=y, r=2.5) for x, y in places]
    x, y = reached[-1]
    if trial.status in ("pruned", "failed"):
        cross = f"M{x - 4:.1f},{y - 4:.1f}l8,8m0,-8l-8,8"
        marks.append(element("path", d=cross, class_="end"))
    told = f"trial {trial.name}: {text_of(trial.score)} ({trial.status})"
    return element(
        "g",
        element("title", told + (f"; {trial.reason}" if trial.reason else "")),
        element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places)),
        *marks,
        class_=f"trial {trial.status}{' best' if is_best else ''}",
        data_trial=trial.name,
        stroke=stroke,
        fill=stroke,
    )


def _frame(search: SearchRecord, across: Axis, up: Axis) -> list[Element]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    step = math.ceil((across.high - 1) / _MOST_TICKS)
    epochs = range(1, int(across.high) + 1, step)
    lines = [
        element("line", class_="grid", x1=_LEFT, x2=right, y1=y, y2=y)
        for y in (bottom - (bottom - _TOP) * place for place, _ in up.ticks())
    ]
    values = [
        element("text", text, class_="tick", x=_LEFT - 6, y=_place_y(place) + 4, text_anchor="end")
        for place, text in up.ticks()
    ]
    numbers = [
        element("text", str(n), class_="tick", x=_x(across, n), y=bottom + 16, text_anchor="middle")
        for n in epochs
    ]
    middle = (_LEFT + right) / 2
    name = element("text", "epoch", class_="name", x=middle, y=bottom + 36, text_anchor="middle")
    turned = f"translate(14,{(_TOP + bottom) / 2:.1f}) rotate(-90)"
    objective = element(
        "text", search.objective, class_="name", transform=turned, text_anchor="middle"
    )
    return [*lines, *values, *numbers, name, objective]


def _x(across: Axis, epoch: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (across.place(epoch) or 0.0)


def _y(up: Axis, value: float) -> float:
    return _place_y(up.place(value) or 0.0)


def _place_y(place: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * place
