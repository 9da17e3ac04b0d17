"""Which trials are not worth their last epochs."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence

import numpy as np

Curve = Sequence[float]


class Pruner(abc.ABC):
    """Decides after an epoch whether a trial goes on.

    Curves are of the objective, one value an epoch, and turned so that higher is better. What is
    NaN is taken for the worst.

    Example:

    >>> import keras_transfer as kx
    >>> class BelowTheBest(kx.Pruner):
    ...     def prunes(self, curve, others):
    ...         return max(curve) < max(max(other) for other in others)
    >>> BelowTheBest().prunes([0.1, 0.2], [[0.3]])
    True
    """

    @abc.abstractmethod
    def prunes(self, curve: Curve, others: Sequence[Curve]) -> bool:
        """Whether to end the trial now.

        Args:
            curve: of the trial, up to this epoch; one value at least.
            others: of all other trials, whether they are finished, pruned or running.
        """


@dataclasses.dataclass(frozen=True)
class MedianPruner(Pruner):
    """Ends trials whose best value is below the median of others at the same epoch.

    Others count by the mean of their values up to that epoch, so that a good start alone is not
    what a trial is measured by.

    Reference: Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017
    (the median stopping rule).

    Args:
        warmup_epochs: int from 0. Epochs before which nothing is ended.
        min_trials: int from 1. How many others must have come that far.

    Raises:
        ValueError: if a number is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> pruner = kx.MedianPruner(warmup_epochs=1, min_trials=2)
    >>> pruner.prunes([0.1, 0.2], [[0.5, 0.6], [0.4, 0.5]])
    True
    """

    warmup_epochs: int = 1
    min_trials: int = 5

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.warmup_epochs < 0 or self.min_trials < 1:
            raise ValueError(
                f"Expected `warmup_epochs` from 0 and `min_trials` from 1. Received: {self}."
            )

    def prunes(self, curve: Curve, others: Sequence[Curve]) -> bool:
        """See `Pruner`."""
        epochs = len(curve)
        means = [np.mean(_known(other[:epochs])) for other in others if len(other) >= epochs]
        if epochs <= self.warmup_epochs or len(means) < self.min_trials:
            return False
        return bool(max(_known(curve)) < np.median(means))


@dataclasses.dataclass(frozen=True)
class SuccessiveHalving(Pruner):
    """Lets the best share of trials go on at epochs that grow by a factor.

    Asynchronous: a trial is compared with those that have come to the same epoch so far, and
    waits for none.

    Reference: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020
    (ASHA, in the variant that stops).

    Args:
        min_epochs: int from 1. Where trials are compared first; then at `factor` times that, and
            so on.
        factor: float above 1. One in so many goes on.

    Raises:
        ValueError: if a number is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> pruner = kx.SuccessiveHalving(min_epochs=1, factor=2)
    >>> pruner.prunes([0.3], [[0.5], [0.4, 0.6], [0.2]])
    True
    """

    min_epochs: int = 1
    factor: float = 3.0

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.min_epochs < 1 or not self.factor > 1:
            raise ValueError(
                f"Expected `min_epochs` from 1 and `factor` above 1. Received: {self}."
            )

    def prunes(self, curve: Curve, others: Sequence[Curve]) -> bool:
        """See `Pruner`."""
        epochs = len(curve)
        if not self._compares_at(epochs):
            return False
        own = max(_known(curve))
        rivals = [max(_known(other[:epochs])) for other in others if len(other) >= epochs]
        places = max(1, int((len(rivals) + 1) / self.factor))
        return sum(rival > own for rival in rivals) >= places

    def _compares_at(self, epochs: int) -> bool:
        rung = round(math.log(epochs / self.min_epochs, self.factor))
        return rung >= 0 and math.ceil(self.min_epochs * self.factor**rung) == epochs


@dataclasses.dataclass(frozen=True)
class Patience(Pruner):
    """Ends trials that have not got better for some epochs.

    Args:
        epochs: int from 1. How many.
        min_delta: float from 0. What counts as better, in units of the objective.

    Raises:
        ValueError: if a number is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> kx.Patience(epochs=2).prunes([0.5, 0.4, 0.45], [])
    True
    """

    epochs: int = 3
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.epochs < 1 or not self.min_delta >= 0:
            raise ValueError(f"Expected `epochs` from 1, `min_delta` from 0. Received: {self}.")

    def prunes(self, curve: Curve, others: Sequence[Curve]) -> bool:
        """See `Pruner`."""
        if len(curve) <= self.epochs:
            return False
        values = _known(curve)
        return max(values[-self.epochs :]) <= max(values[: -self.epochs]) + self.min_delta


def _known(curve: Curve) -> list[float]:
    return [-math.inf if math.isnan(value) else float(value) for value in curve]
