"""What happens after each epoch of a trial: its best weights are kept, the oracle is told."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_transfer.search.trials.trial_folder import TrialFolder
from keras_transfer.training.checkpoints import epochs_in
from keras_transfer.training.learner import variables_in_training


class TrialEndedError(Exception):
    """Ends a trial before its last epoch; what it has reached counts."""


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the epoch that is best by the objective.

    Args:
        folder: of the trial, where they are kept.
        objective: keras_tuner.Objective.
        epochs: the folder of the trial's checkpoints, which say what was best before a kill.

    Attributes:
        kept_after: int, the number of epochs after which they were so, of all stages; None before
            the first.
    """

    def __init__(
        self,
        folder: TrialFolder,
        objective: keras_tuner.Objective,
        epochs: pathlib.Path,
    ):
        super().__init__()
        self.kept_after: int | None = None
        self._folder, self._objective, self._epochs = folder, objective, epochs
        self._best: float | None = None
        self._done = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Looks up what was best so far."""
        self.look_up()

    def look_up(self) -> None:
        """Takes up what was best before a kill."""
        self._best = None
        epochs = epochs_in(self._epochs)
        self._done = max(self._done, len(epochs))
        for number, epoch in enumerate(epochs if self._folder.weights.is_file() else [], start=1):
            if self._is_to_keep(epoch):
                self.kept_after = number

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes them if the epoch is the best so far, or nobody knows yet."""
        self._done += 1
        if self._is_to_keep(logs or {}):
            self._folder.save_weights(self.model.weights, variables_in_training(self.model))
            self.kept_after = self._done

    def _is_to_keep(self, logs: Mapping[str, float]) -> bool:
        known = self._objective.has_value(logs)
        return not known or self._is_better(value_of(self._objective, logs))

    def _is_better(self, value: float) -> bool:
        if math.isnan(value):
            return self._best is None  # better than no weights
        better = self._best is None or self._objective.better_than(value, self._best)
        if better:
            self._best = value
        return better


class ReportEpochs(keras.callbacks.Callback):
    """Tells the oracle of each epoch, and ends the trial where the answer is to stop.

    Args:
        oracle: keras_tuner.Oracle, or a worker's connection to one; None only collects.
        trial_id: str.
        objective: keras_tuner.Objective.
        epochs: the folder of the trial's checkpoints.
        besides: further numbers to report.

    Attributes:
        told: what was reported, epoch by epoch.

    Raises:
        TrialEndedError: if the oracle says so.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle | None,
        trial_id: str,
        objective: keras_tuner.Objective,
        epochs: pathlib.Path,
        besides: Mapping[str, float],
    ):
        super().__init__()
        self.told: list[dict[str, float]] = []
        self._oracle, self._trial_id, self._objective = oracle, trial_id, objective
        self._epochs, self._besides = epochs, besides

    def on_train_begin(self, logs: Any = None) -> None:
        """Tells again of what was trained before a kill: the last epoch may not have been told."""
        self.tell_rest(epochs_in(self._epochs))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Tells of this one."""
        if self._objective.has_value(logs or {}):
            self._tell(logs or {})

    def tell_rest(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Tells of those epochs that were not told of yet.

        Args:
            rows: all epochs so far.

        Raises:
            ValueError: if one has not the objective.
        """
        for row in rows[len(self.told) :]:
            self._tell(row)

    def tell_only(self, row: Mapping[str, float]) -> None:
        """Tells of one result in the place of all epochs.

        Args:
            row: its metrics.

        Raises:
            ValueError: if it has not the objective.
        """
        self.told.clear()
        self._tell(row)

    def _tell(self, logs: Mapping[str, float]) -> None:
        values = {name: float(value) for name, value in logs.items()} | dict(self._besides)
        values[self._objective.name] = value_of(self._objective, logs)
        step = len(self.told)
        self.told.append(values)
        if self._oracle is None:
            return
        told = self._oracle.update_trial(self._trial_id, values, step=step)
        if told.status == TrialStatus.STOPPED:
            raise TrialEndedError


def value_of(objective: keras_tuner.Objective, logs: Mapping[str, float]) -> float:
    """The objective of an epoch.

    Raises:
        ValueError: if the logs have not the metrics that it is made of.
    """
    if not objective.has_value(logs):
        raise keras_tuner.errors.FatalValueError(
            "Expected an objective that is among the metrics: compile the model with it, or choose "
            f"another. Received: objective {objective.name!r} with metrics {sorted(logs)}."
        )
    return float(objective.get_value(logs))
