"""One trial: built, trained, told of; in smaller batches where memory is short."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras_tuner.engine.trial import Trial

from keras_transfer.data.batch_size import batch_size_of, with_batch_size
from keras_transfer.search.trials.data_order import DataOrder
from keras_transfer.search.trials.training_record import record_of
from keras_transfer.search.trials.trial_callbacks import (
    BestWeights,
    ReportEpochs,
    TrialEndedError,
)
from keras_transfer.search.trials.trial_fit import fit_trial
from keras_transfer.training.checkpoints import by_epoch

if TYPE_CHECKING:
    from keras_transfer.search.transfer_tuner import TransferTuner

Rows = list[dict[str, float]]


@dataclasses.dataclass(frozen=True)
class TrialRun:
    """Trains a trial.

    Attributes:
        tuner: kx.TransferTuner.
        trial: the trial.
        train: tf.data.Dataset of batches.
        options: what `search` was given besides.
    """

    tuner: TransferTuner
    trial: Trial
    train: tf.data.Dataset
    options: Mapping[str, Any]

    def run(self) -> None:
        """All executions; the oracle knows of every epoch afterwards."""
        count = self.tuner.executions_per_trial
        rows = [self._execution(number, live=count == 1) for number in range(count)]
        if count > 1:
            oracle, trial_id = self.tuner.oracle, self.trial.trial_id
            for step, epochs in enumerate(zip(*rows, strict=False)):
                oracle.update_trial(trial_id, _means(epochs), step=step)

    def _execution(self, number: int, *, live: bool) -> Rows:
        """Trains once, with batches halved until they fit."""
        folder = self.tuner.trial_folder(self.trial.trial_id)
        halvings = folder.halvings(number)
        while True:
            try:
                return self._fit(number, halvings, live=live)
            except tf.errors.ResourceExhaustedError as error:
                halvings += 1
                self._check_can_halve(halvings, error)
            # Outside, where nothing holds on to the tensors of the failure.
            folder.note_halving(number, halvings)

    def _fit(self, number: int, halvings: int, *, live: bool) -> Rows:
        tuner, trial, options = self.tuner, self.trial, dict(self.options)
        folder = tuner.trial_folder(trial.trial_id)
        checkpoints = folder.epochs(number, halvings)
        seed = _seed(tuner.seed, trial.trial_id, number)
        keras.utils.set_random_seed(seed)
        model = tuner._try_build(trial.hyperparameters)
        train, besides = self.train, {}
        if halvings:
            besides["batch_size"] = batch_size_of(train) >> halvings
            train = with_batch_size(train, besides["batch_size"])
        order = DataOrder(train, seed)
        report = ReportEpochs(
            tuner.oracle if live else None, trial.trial_id, tuner.objective, checkpoints, besides
        )
        best = BestWeights(folder, tuner.objective, checkpoints)
        callbacks = tuner.callbacks_of(trial, options.pop("callbacks", ()), number)
        self._set_epochs(options)
        try:
            with tuner.compute.precision():
                results = fit_trial(
                    tuner.hypermodel,
                    trial.hyperparameters,
                    model,
                    order.dataset,
                    checkpoints=checkpoints,
                    cache=tuner.cache,
                    callbacks=[order, *callbacks, best, report],
                    **options,
                )
            if isinstance(results, (Mapping, int, float, np.floating)):
                report.tell_only(_one(results, tuner.objective))
            else:
                report.tell_rest(_rows(results))
        except TrialEndedError:
            pass
        folder.note_build_config(model.get_build_config())
        if best.kept_after is None:  # all epochs were trained before a kill
            best.look_up()
        record = record_of(
            self.tuner, trial, self.train, options, seed, best.kept_after, besides.get("batch_size")
        )
        record.write(folder.record)
        return report.told

    def _set_epochs(self, options: dict[str, Any]) -> None:
        """Hyperband says how many; it goes on from the weights of an earlier trial."""
        values = self.trial.hyperparameters.values
        if "tuner/epochs" in values:
            options["epochs"] = values["tuner/epochs"] - values["tuner/initial_epoch"]

    def _check_can_halve(self, halvings: int, error: Exception) -> None:
        size = batch_size_of(self.train)
        if size >> halvings < 1:
            raise keras_tuner.errors.FailedTrialError(
                f"Expected a model that fits into memory with one example. Received: {error}"
            ) from error
        if self.options.get("verbose") != 0:
            print(f"Out of memory: batches of {size >> halvings} from now on in this trial.")


def _seed(seed: int, trial_id: str, execution: int) -> int:
    digest = hashlib.blake2b(f"{seed} {trial_id} {execution}".encode(), digest_size=3).digest()
    return int.from_bytes(digest, "big")


def _one(result: Any, objective: keras_tuner.Objective) -> dict[str, float]:
    """What a `fit` says that counts, whatever its epochs were."""
    return dict(result) if isinstance(result, Mapping) else {objective.name: float(result)}


def _rows(results: Any) -> Rows:
    """Epoch by epoch what a `fit` has returned.

    Raises:
        FatalTypeError: if it has returned something else.
    """
    if isinstance(results, keras.callbacks.History):
        return by_epoch(results.history)
    if isinstance(results, Sequence) and not isinstance(results, str):
        return [row for result in results for row in _rows(result)]
    raise keras_tuner.errors.FatalTypeError(
        "Expected the hypermodel's `fit` to return a keras.callbacks.History or a list of them, a "
        f"dict of metrics, or the objective as a float. Received: {results!r}."
    )


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
