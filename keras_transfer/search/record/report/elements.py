"""Elements of HTML and SVG, in which all text is escaped; colors of scores."""

from __future__ import annotations

import re
from xml.etree import ElementTree

Child = ElementTree.Element | str | None
# What XML and HTML have no place for: terminals' colors in tracebacks, for one.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# Viridis at even steps, without its lightest end, which is hard to see on white.
_COLORS = ((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81))
NO_SCORE = "#999999"


def element(tag: str, *children: Child, **attributes: object) -> ElementTree.Element:
    """An element.

    Args:
        tag: its name.
        children: elements, and texts between them; None for nothing.
        attributes: "_" in their names stands for "-", and one at the end is dropped; those that
            are None are left out.
    """
    found = ElementTree.Element(tag)
    for name, value in attributes.items():
        if value is not None:
            text = f"{value:.1f}" if isinstance(value, float) else str(value)
            found.set(name.rstrip("_").replace("_", "-"), _clean(text))
    for child in children:
        if isinstance(child, ElementTree.Element):
            found.append(child)
        elif child and len(found):
            found[-1].tail = (found[-1].tail or "") + _clean(child)
        elif child:
            found.text = (found.text or "") + _clean(child)
    return found


def to_html(root: ElementTree.Element) -> str:
    """A whole page."""
    html = ElementTree.tostring(root, encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{html}\n"


def color(place: float | None) -> str:
    """Of a score between 0, the worst, and 1; grey for none."""
    if place is None:
        return NO_SCORE
    at = min(max(place, 0.0), 1.0) * (len(_COLORS) - 1)
    low = min(int(at), len(_COLORS) - 2)
    mixed = [a + (b - a) * (at - low) for a, b in zip(_COLORS[low], _COLORS[low + 1], strict=True)]
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def shortened(text: str, length: int) -> str:
    """Its end, where names differ."""
    return text if len(text) <= length else "…" + text[1 - length :]


def _clean(text: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
