"""Bars of how much each hyper-parameter explains, and what to think of them."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from keras_transfer.search.record.importance import MIN_TRIALS, Importances
from keras_transfer.search.record.report.elements import element

_ROW, _LEFT, _LENGTH, _RIGHT = 26.0, 160.0, 560.0, 100.0
# Of the variance of unseen scores; below, there is nothing to see yet.
_LITTLE, _SOME = 0.1, 0.5


def importance_bars(found: Importances) -> Element:
    """The drawing, an SVG element; the most important on top.

    Args:
        found: of each hyper-parameter.
    """
    names = sorted(found.shares, key=lambda name: -found.shares[name])
    height, width = _ROW * len(names) + 30, _LEFT + _LENGTH + _RIGHT
    grid = [_mark(part / 4, height - 24) for part in range(5)]
    return element(
        "svg",
        *(piece for marks in grid for piece in marks),
        *(_bar(name, number, found) for number, name in enumerate(names)),
        id="importance",
        width=width,
        height=height,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
        aria_label="Share of the variance of scores that each hyper-parameter explains",
    )


def importance_text(found: Importances | None) -> str:
    """What the bars are and how far to trust them.

    Args:
        found: None where there are too few trials.
    """
    if found is None:
        return (
            f"There are too few trials to tell: it takes {MIN_TRIALS} with a score, and scores "
            "that differ."
        )
    if found.explained < _LITTLE:
        trust = "that is next to nothing, so take the bars for noise until there are more trials"
    elif found.explained < _SOME:
        trust = "so take the bars for a hint, and more trials for better ones"
    else:
        trust = "so the order of long bars means something, that of short ones does not"
    return (
        "Share of the variance of scores that each hyper-parameter explains alone, by a random "
        f"forest over {found.num_trials} trials; lines show where four in five lie when trials "
        "are drawn anew from them. What is left to 100 % is what several do together. Those that "
        "only some trials have count by how many they are, and trials that were pruned with "
        "the score they had. Of the scores of trials that it had not seen the forest explains "
        f"{max(0.0, found.explained):.0%}: {trust}."
    )


def _bar(name: str, number: int, found: Importances) -> Element:
    share, (low, high) = found.shares[name], found.ranges[name]
    top, end = _ROW * number, _LEFT + _LENGTH * min(share, 1.0)
    middle = top + _ROW / 2
    left, right = (_LEFT + _LENGTH * min(max(x, 0.0), 1.0) for x in (low, high))
    label = f"{share:.0%}"
    return element(
        "g",
        element("title", f"{name}: {label}, between {low:.0%} and {high:.0%}"),
        element("text", name, class_="label", x=_LEFT - 8, y=middle + 4, text_anchor="end"),
        element("rect", class_="bar", x=_LEFT, y=top + 5, width=end - _LEFT, height=_ROW - 10),
        element("line", class_="range", x1=left, x2=right, y1=middle, y2=middle),
        element("text", label, class_="tick", x=max(end, right) + 8, y=middle + 4),
    )


def _mark(share: float, bottom: float) -> tuple[Element, Element]:
    across = _LEFT + _LENGTH * share
    return (
        element("line", class_="grid", x1=across, x2=across, y1=0.0, y2=bottom),
        element(
            "text", f"{share:.0%}", class_="tick", x=across, y=bottom + 16, text_anchor="middle"
        ),
    )
