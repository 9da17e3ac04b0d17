"""The training of a trial done again, from its record; killed, it goes on."""

from __future__ import annotations

import gc
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import tensorflow as tf

from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.data.batch_size import with_batch_size
from keras_transfer.data.joined import joined
from keras_transfer.data.splits import Splits
from keras_transfer.search.trials.data_order import DataOrder
from keras_transfer.search.trials.training_record import TrainingRecord
from keras_transfer.search.trials.trial_callbacks import TrialEndedError
from keras_transfer.search.trials.trial_fit import fit_trial
from keras_transfer.search.trials.trial_folder import TrialFolder
from keras_transfer.training.checkpoints import epochs_in
from keras_transfer.training.compute_strategy import ComputeStrategy


def train_again(
    record: TrainingRecord,
    hypermodel: keras_tuner.HyperModel,
    data: Splits,
    folder: TrialFolder,
    *,
    all_data: bool,
    compute: ComputeStrategy,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: str | int,
) -> None:
    """Trains until the weights are in the folder; called again it goes on from where it was.

    Args:
        record: of the training.
        hypermodel: keras_tuner.HyperModel.
        data: kx.Splits.
        folder: of this training alone.
        all_data: whether to train on `data.train` and `data.validation` together.
        compute: devices and precision.
        callbacks: of `fit`.
        verbose: of `fit`.

    Raises:
        ValueError: if `fit` had options that are not known any more.
    """
    if not folder.weights.is_file():
        _check_options(record)
        folder.path.mkdir(parents=True, exist_ok=True)
        options = {**record.options, "verbose": verbose}
        if record.epochs is not None:
            options["epochs"] = record.epochs
        if not all_data and data.validation is not None:
            options["validation_data"] = data.validation
        before = None
        if record.goes_on_from is not None:
            before = TrialFolder(folder.path / "before")
            train_again(
                TrainingRecord.from_dict(record.goes_on_from),
                hypermodel,
                data,
                before,
                all_data=all_data,
                compute=compute,
                callbacks=callbacks,
                verbose=verbose,
            )
        train = _train_data(record, data, all_data)
        _train(record, hypermodel, train, folder, before, compute, callbacks, options)
    for used in ("features", "before"):
        shutil.rmtree(folder.path / used, ignore_errors=True)
    folder.finish()


def _train(
    record: TrainingRecord,
    hypermodel: keras_tuner.HyperModel,
    train: tf.data.Dataset,
    folder: TrialFolder,
    before: TrialFolder | None,
    compute: ComputeStrategy,
    callbacks: Sequence[keras.callbacks.Callback],
    options: dict[str, Any],
) -> None:
    """As `TrialRun` did it, in the same order: what is drawn at random has to be the same."""
    model = _build(record, hypermodel, compute)
    if before is not None:
        model.set_weights(before.load_weights())
    checkpoints = folder.epochs(0, 0)
    order = DataOrder(train, record.seed)
    weights = _WeightsAfter(folder, record.trained_epochs, checkpoints)
    cache = None
    if record.cache is not None:
        cache = FeatureCache(folder.path / "features", **record.cache)
    try:
        with compute.precision():
            fit_trial(
                hypermodel,
                _hyperparameters(record),
                model,
                order.dataset,
                checkpoints=checkpoints,
                cache=cache,
                callbacks=[order, *callbacks, weights],
                **options,
            )
        weights.keep(model)  # `fit` has ended by itself
    except TrialEndedError:
        pass


def load(
    record: TrainingRecord,
    hypermodel: keras_tuner.HyperModel,
    folder: TrialFolder,
    compute: ComputeStrategy,
) -> keras.Model:
    """The model with the weights that are in the folder; of an adaptation, the adapted one."""
    return folder.load_into(_build(record, hypermodel, compute))


class _WeightsAfter(keras.callbacks.Callback):
    """Keeps the weights after so many epochs of all stages, and ends the training."""

    def __init__(self, folder: TrialFolder, epochs: int, checkpoints: pathlib.Path):
        super().__init__()
        self._folder, self._last, self._checkpoints = folder, epochs, checkpoints
        self._done = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Counts what was trained before a kill, too."""
        self._done = max(self._done, len(epochs_in(self._checkpoints)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Ends it in time."""
        self._done += 1
        if self._done == self._last:
            self.keep(self.model)
            raise TrialEndedError

    def keep(self, model: keras.Model) -> None:
        """Writes the weights as they are."""
        self._folder.note_build_config(model.get_build_config())
        self._folder.save_weights(model.weights)


def _build(
    record: TrainingRecord, hypermodel: keras_tuner.HyperModel, compute: ComputeStrategy
) -> keras.Model:
    """As KerasTuner does it in a trial."""
    with compute.precision():  # which `clear_session` forgets: put back at the end
        keras.utils.set_random_seed(record.seed)
        keras.backend.clear_session()
        gc.collect()
        with compute.scope():
            return hypermodel.build(_hyperparameters(record))


def _hyperparameters(record: TrainingRecord) -> keras_tuner.HyperParameters:
    values = keras_tuner.HyperParameters()
    values.values = dict(record.hyperparameters)
    return values


def _train_data(record: TrainingRecord, data: Splits, all_data: bool) -> tf.data.Dataset:
    train = data.train
    if all_data and data.validation is not None:
        train = joined(train, data.validation)
    return train if record.batch_size is None else with_batch_size(train, record.batch_size)


def _check_options(record: TrainingRecord) -> None:
    if record.options_not_kept:
        raise ValueError(
            "Expected a search whose `fit` got options that JSON can hold, to train again: make "
            f"them a part of the hypermodel. Received: {record.options_not_kept}."
        )
