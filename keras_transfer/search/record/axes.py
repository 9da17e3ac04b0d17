"""Places of values between 0 and 1, on axes that suit what they are: even, logarithmic, listed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from keras_transfer.search.record.parameters import Parameter
from keras_transfer.search.record.records import SearchRecord

# Scores that differ by more than this factor are shown by their logarithm.
_LOG_FROM = 100.0


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis; what has no value on it has a place of its own, below the others.

    Attributes:
        name: str.
        values: all there are, from the bottom up, or None for a range of numbers.
        low: number at 0, of a range.
        high: number at 1.
        is_log: whether the range is by logarithm.
    """

    name: str
    values: tuple[Any, ...] | None
    low: float = 0.0
    high: float = 1.0
    is_log: bool = False

    def place(self, value: Any) -> float | None:
        """Between 0 and 1; None for what is not there."""
        if value is None:
            return None
        if self.values is not None:
            last = len(self.values) - 1
            return self.values.index(value) / last if last else 0.5
        if self.low == self.high:
            return 0.5
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels to write beside the axis."""
        if self.values is not None:
            return [(self.place(value) or 0.0, text_of(value)) for value in self.values]
        marks = _powers(self.low, self.high) if self.is_log else _even(self.low, self.high)
        return [(self.place(mark) or 0.0, text_of(mark)) for mark in marks]


def axis_of(parameter: Parameter) -> Axis:
    """Of a hyper-parameter; numbers that are listed stand in the order of their size."""
    if parameter.values is None:
        low, high = parameter.low or 0.0, parameter.high or 0.0
        return Axis(parameter.name, None, low, high, parameter.is_log)
    values = parameter.values
    if all(isinstance(value, (int, float)) for value in values):
        values = tuple(sorted(values))
    return Axis(parameter.name, values)


def score_axis(search: SearchRecord) -> Axis:
    """Of the objective, over the scores that there are, with the best at 1."""
    scores = [trial.score for trial in search.ranked if trial.score is not None]
    low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
    is_log = low > 0 and high / low > _LOG_FROM
    best, worst = (high, low) if search.maximizes else (low, high)
    return Axis(search.objective, None, worst, best, is_log)


def text_of(value: Any) -> str:
    """A value in few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


def settings_text(values: Sequence[tuple[str, Any]]) -> str:
    """Names and values in one line."""
    return ", ".join(f"{name} {text_of(value)}" for name, value in values)


def _powers(low: float, high: float) -> list[float]:
    """The ends, and powers of ten between; also of a range that begins at its larger end."""
    small, large = sorted((low, high))
    exponents = range(math.ceil(math.log10(small)), math.floor(math.log10(large)) + 1)
    between = [10.0**exponent for exponent in exponents]
    apart = 0.06 * math.log10(large / small)
    ends = [end for end in (small, large) if all(abs(math.log10(end / x)) > apart for x in between)]
    return sorted([*between, *ends])


def _even(low: float, high: float) -> list[float]:
    if isinstance(low, int) and isinstance(high, int) and abs(high - low) <= 8:
        return list(range(min(low, high), max(low, high) + 1))
    return [low + (high - low) * part / 4 for part in range(5)]
