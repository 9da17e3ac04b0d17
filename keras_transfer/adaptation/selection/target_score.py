"""Scores of an adapted model in the logs of `fit`, after each epoch."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.adaptation.selection.accuracies import oracle_accuracy, source_accuracy
from keras_transfer.adaptation.selection.collapse_guard import CollapseGuard
from keras_transfer.adaptation.selection.held_out import HeldOut, Predictions, tells_features
from keras_transfer.adaptation.selection.running_mean import RunningMean
from keras_transfer.adaptation.selection.target_scores import OF_FEATURES, OF_SOURCE, SCORES


class TargetScore(keras.callbacks.Callback):
    """Scores the model on target examples without labels, after each epoch of plain `fit`.

    For early stopping, checkpoints and searches in domain adaptation, where accuracy cannot be
    had. Put it before callbacks that use what it writes into the logs:

    - `val_target_score`: the first of `scores` (a running mean with `smoothing`), and
      `guard.rejected_score` in an epoch whose model the guard rejects.
    - `val_target_NAME`: each of `scores` as it is in that epoch, or as above if rejected.
    - `val_source_accuracy`, where there is `source`.
    - `oracle_target_accuracy`, if `oracle_labels`; for reports, not to choose by.

    Higher is better: `keras.callbacks.EarlyStopping("val_target_score", mode="max",
    restore_best_weights=True)`, `keras_tuner.Objective("val_target_score", "max")`. The model
    only predicts: weights, statistics, metrics and random states stay as they are; `kx.fine_tune`
    runs its frozen part once for all epochs. A callback may be used for one training after another.

    Reference: for choosing without labels, Musgrave, Belongie and Lim, "Unsupervised Domain
    Adaptation: A Reality Check", 2021; for the scores see their functions, `kx.NAME_score`.

    Args:
        target: tf.data.Dataset of batches of target examples that are not trained on, finite:
            inputs, or `(inputs, labels)` of which labels are left alone.
        source: tf.data.Dataset of batches `(inputs, labels)`, source validation data. Without it
            the guard sees target predictions alone.
        scores: names, the one that decides first: "information_maximization", "entropy", "bnm",
            "snd", "class_ami", "dev", "discrepancy". Not the one that the adaptation trains for.
            `class_ami` and `dev` may take seconds an epoch.
        guard: `kx.CollapseGuard`.
        smoothing: float from 0, below 1. Above 0, `val_target_score` is the running mean over the
            epochs not rejected, each with this times the weight of the next. By default each epoch
            stands alone, so that the weights restored are those that scored best. The best of
            many noisy epochs is in part the luckiest, so for small targets and large learning
            rates take 0.5; the mean lags behind by `smoothing / (1 - smoothing)` epochs.
        oracle_labels: bool. Whether to measure accuracy on the labels of `target`.

    Attributes:
        rejections: dict from epochs, counted from 0, to why the guard rejected the model.

    Raises:
        ValueError: if a dataset is infinite or empty, a score is unknown or needs `source`, or
            `smoothing` is out of range; in training, if the model is no classifier that gives
            logits, or a score needs features that it does not tell.

    Warns:
        UserWarning: at the end of a training of which all epochs were rejected.

    Example:

    >>> import numpy as np
    >>> import keras, tensorflow as tf
    >>> import keras_transfer as kx
    >>> keras.utils.set_random_seed(0)
    >>> model = kx.Classifier(keras.Sequential([keras.Input([2]), keras.layers.Dense(4)]), 2)
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> pixels, labels = np.array([[0.0, 3.0], [3.0, 0.0]] * 8), np.array([0, 1] * 8)
    >>> target = tf.data.Dataset.from_tensor_slices(pixels + 0.1).batch(8)
    >>> history = model.fit(pixels, labels, callbacks=[kx.TargetScore(target)], verbose=0)
    >>> sorted(history.history)
    ['loss', 'val_target_information_maximization', 'val_target_score']
    """

    def __init__(
        self,
        target: tf.data.Dataset,
        source: tf.data.Dataset | None = None,
        *,
        scores: Sequence[str] = ("information_maximization",),
        guard: CollapseGuard = CollapseGuard(),  # noqa: B008  it is frozen
        smoothing: float = 0.0,
        oracle_labels: bool = False,
    ):
        super().__init__()
        _check(scores, source, smoothing)
        self.target = target
        self.source = source
        self.scores = scores
        self.guard = guard
        self.smoothing = smoothing
        self.oracle_labels = oracle_labels
        self.rejections: dict[int, str] = {}
        self._target = HeldOut(target, "target")
        self._source = None if source is None else HeldOut(source, "source")
        self._reference = guard
        self._average = RunningMean(smoothing)

    def __deepcopy__(self, memo: dict[int, Any]) -> TargetScore:
        """A new one on the same datasets, which have no copies; KerasTuner makes one a trial."""
        return type(self)(
            self.target,
            self.source,
            scores=self.scores,
            guard=self.guard,
            smoothing=self.smoothing,
            oracle_labels=self.oracle_labels,
        )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begins anew, with the source accuracy from before adaptation."""
        self.rejections = {}
        self._average = RunningMean(self.smoothing)
        self._reference = self.guard
        if self.guard.source_only_accuracy is None and self.guard.min_source_share > 0:
            accuracy = _accuracy(self._of_source(features=False))
            if accuracy is not None and math.isfinite(accuracy):
                self._reference = dataclasses.replace(self.guard, source_only_accuracy=accuracy)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the figures to the logs, which Keras hands on to later callbacks."""
        features = self._wants_features()
        source = self._of_source(features)
        target = self._target.predict(self.model, features=features, labels=self.oracle_labels)
        accuracy = _accuracy(source)
        problem = self._reference.problem(
            target.probabilities,
            features=target.features,
            source_features=None if source is None else source.features,
            source_accuracy=accuracy,
        )
        figures = self._figures(target, source, problem)
        if accuracy is not None:
            figures["val_source_accuracy"] = accuracy
        if self.oracle_labels:
            figures["oracle_target_accuracy"] = _accuracy(target, of_oracle=True)
        if problem is not None:
            self._tell(epoch, problem)
        if logs is not None:
            logs.update(figures)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Warns if nothing is left to choose from."""
        if self.rejections and not self._average.count:
            epoch, problem = next(iter(self.rejections.items()))
            warnings.warn(
                "kx.TargetScore rejected the model of each epoch: lower the weight of adaptation, "
                "or change its `guard` if the target is such. "
                f"In epoch {epoch + 1}: {problem}.",
                stacklevel=2,
            )

    def held_out(self) -> list[HeldOut]:
        """What is predicted: the target, and the source if there is one."""
        return [one for one in (self._target, self._source) if one is not None]

    def _of_source(self, features: bool) -> Predictions | None:
        if self._source is None:
            return None
        return self._source.predict(self.model, features=features, labels=True)

    def _wants_features(self) -> bool:
        """Where scores need them; else for the guard, if there is a source and they are known."""
        if OF_FEATURES & set(self.scores):
            return True
        wanted = self._source is not None and self.guard.max_variance_ratio < math.inf
        return wanted and tells_features(self.model)

    def _figures(
        self, target: Predictions, source: Predictions | None, problem: str | None
    ) -> dict[str, Any]:
        if problem is not None:
            names = ("score", *self.scores)
            return {f"val_target_{name}": self.guard.rejected_score for name in names}
        found = {f"val_target_{name}": SCORES[name](target, source) for name in self.scores}
        return {"val_target_score": self._average.add(next(iter(found.values()))), **found}

    def _tell(self, epoch: int, problem: str) -> None:
        self.rejections[epoch] = problem
        if (self.params or {}).get("verbose", 0) != 0:
            # On a line of its own, as the progress bar's is not ended.
            print(f"\nEpoch {epoch + 1}: kx.TargetScore rejects the model: {problem}.")


def _accuracy(of: Predictions | None, of_oracle: bool = False) -> float | None:
    if of is None:
        return None
    if not np.isfinite(of.probabilities).all():
        return math.nan
    measure = oracle_accuracy if of_oracle else source_accuracy
    return measure(of.labels, of.probabilities)


def _check(scores: Sequence[str], source: Any, smoothing: float) -> None:
    if isinstance(scores, str) or not scores or not set(scores) <= set(SCORES):
        raise ValueError(
            f"Expected `scores` to be a list of names among {list(SCORES)}. "
            f"Received: scores={scores!r}."
        )
    if source is None and OF_SOURCE & set(scores):
        raise ValueError(
            f"Expected `source` for {sorted(OF_SOURCE & set(scores))}: source validation data. "
            "Received: source=None."
        )
    if not 0 <= smoothing < 1:
        raise ValueError(f"Expected `smoothing` from 0, below 1. Received: smoothing={smoothing}.")
