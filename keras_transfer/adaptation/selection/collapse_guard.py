"""What tells a model that has collapsed, whatever a score says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_transfer.adaptation.selection.checks import check_features, check_probabilities
from keras_transfer.adaptation.selection.entropies import entropy, predicted_class_entropy


@dataclasses.dataclass(frozen=True)
class CollapseGuard:
    """Rejects models that have collapsed, as scores without labels do not.

    A weight too large for an adaptation's term makes features of both domains equal, and
    predictions constant: certain, consistent, and without a discrepancy, so that most scores are
    at their best. In published results of adapted image models, choosing by a score alone loses
    some points in the median and over 70 in the worst cases, which are such.

    Rejected is a model that gives NaN; whose source accuracy is below `min_source_share` of that
    before adaptation; whose predicted target classes have less than `min_entropy_share` of the
    entropy expected; or whose target features vary `max_variance_ratio` times as much as its
    source features, or as little. `kx.TargetScore` has one by default.

    Args:
        source_only_accuracy: float from 0 to 1. The accuracy on source validation data without
            adaptation. None for unknown: `kx.TargetScore` then takes the model's accuracy as
            training begins, which says something where adaptation begins with a trained model.
        min_source_share: float from 0 to 1. The share of it that has to be left; 0 for any.
        class_prior: floats, one for each class: the shares of classes that you expect in the
            target. None for equal ones. Where the target has one class in truth, say so here.
        min_entropy_share: float from 0 to 1. The share of that prior's entropy which the predicted
            classes must have; 0 for any.
        max_variance_ratio: float, at least 1. `float("inf")` for any.
        rejected_score: float. What a rejected model scores. Minus infinity; or a finite one, below
            all others, for searches that fit a curve to scores: KerasTuner's Bayesian search draws
            at random from the first infinity on. 0 is below all of
            `kx.information_maximization_score`.

    Raises:
        ValueError: if a number is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> guard = kx.CollapseGuard(source_only_accuracy=0.9)
    >>> guard.problem([[0.9, 0.1], [0.2, 0.8]], source_accuracy=0.85)
    >>> guard.problem([[0.9, 0.1], [0.8, 0.2]], source_accuracy=0.85)
    'the predicted target classes have an entropy of 0, below 0.5 times the 0.693 expected'
    """

    source_only_accuracy: float | None = None
    min_source_share: float = 0.9
    class_prior: Sequence[float] | None = None
    min_entropy_share: float = 0.5
    max_variance_ratio: float = 10.0
    rejected_score: float = -np.inf

    def __post_init__(self) -> None:
        shares = (self.source_only_accuracy or 0.0, self.min_source_share, self.min_entropy_share)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError(
                "Expected `source_only_accuracy`, `min_source_share` and `min_entropy_share` from "
                f"0 to 1. Received: {self}."
            )
        if not self.max_variance_ratio >= 1 or np.isnan(self.rejected_score):
            raise ValueError(
                "Expected `max_variance_ratio` of at least 1, and a `rejected_score` that is a "
                f"number. Received: {self}."
            )
        if self.class_prior is not None:
            check_probabilities([self.class_prior], "class_prior")

    def problem(
        self,
        probabilities: Any,
        *,
        features: Any = None,
        source_features: Any = None,
        source_accuracy: float | None = None,
    ) -> str | None:
        """Why a model is rejected; None if it is not.

        What is None is not looked at.

        Args:
            probabilities: float array `[n, classes]`, what the model predicts for target examples.
            features: float array `[n, width]` of the same examples.
            source_features: float array `[m, width]` of source examples.
            source_accuracy: float from 0 to 1, on source validation data.

        Raises:
            ValueError: if the arrays have wrong shapes, or there are not as many classes as in
                `class_prior`.
        """
        given = {"predictions": probabilities, "target features": features}
        given |= {"source features": source_features, "source accuracy": source_accuracy}
        for what, values in given.items():
            if values is not None and not np.isfinite(values).all():
                return f"the {what} hold NaN or infinities"
        problems = [
            self._of_source(source_accuracy),
            self._of_classes(check_probabilities(probabilities)),
            self._of_features(features, source_features),
        ]
        return "; ".join(filter(None, problems)) or None

    def _of_source(self, accuracy: float | None) -> str | None:
        if accuracy is None or self.source_only_accuracy is None:
            return None
        # Shares of a few examples are not to be told apart by rounding.
        if accuracy >= self.min_source_share * self.source_only_accuracy - 1e-9:
            return None
        return (
            f"the source accuracy of {accuracy:.3g} is below {self.min_source_share:g} times the "
            f"{self.source_only_accuracy:.3g} without adaptation"
        )

    def _of_classes(self, probabilities: np.ndarray) -> str | None:
        examples, classes = probabilities.shape
        prior = np.ones(classes) if self.class_prior is None else np.asarray(self.class_prior)
        if len(prior) != classes:
            raise ValueError(
                f"Expected `class_prior` to have an entry for each of {classes} classes. "
                f"Received: class_prior={self.class_prior}."
            )
        # So few examples cannot have more classes.
        expected = min(float(entropy(prior / prior.sum())), np.log(examples))
        found = predicted_class_entropy(probabilities)
        if found >= self.min_entropy_share * expected - 1e-9:
            return None
        return (
            f"the predicted target classes have an entropy of {found:.3g}, below "
            f"{self.min_entropy_share:g} times the {expected:.3g} expected"
        )

    def _of_features(self, target: Any, source: Any) -> str | None:
        if target is None or source is None or self.max_variance_ratio == np.inf:
            return None
        target = check_features(target, "features")
        source = check_features(source, "source_features")
        if min(len(target), len(source)) < 2:
            return None
        of_target, of_source = target.var(0).sum(), source.var(0).sum()
        if 0 < max(of_target, of_source) <= self.max_variance_ratio * min(of_target, of_source):
            return None
        return (
            f"the target's features have a variance of {of_target:.3g} and the source's one of "
            f"{of_source:.3g}, more than {self.max_variance_ratio:g} times apart"
        )
