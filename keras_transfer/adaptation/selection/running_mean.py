"""An exponential running mean."""

from __future__ import annotations


class RunningMean:
    """The mean of all numbers so far, without a pull towards where it begins.

    Args:
        smoothing: float from 0, below 1: the weight of each number, of that of the next.

    Attributes:
        count: int. How many numbers it has seen.
    """

    def __init__(self, smoothing: float):
        self.smoothing = smoothing
        self.count = 0
        self._sum = 0.0

    def add(self, number: float) -> float:
        """The mean with one more."""
        self.count += 1
        self._sum = self.smoothing * self._sum + (1 - self.smoothing) * number
        return self._sum / (1 - self.smoothing**self.count)
