"""What the epochs of a stage run on, and Keras's `fit` of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.caching.frozen_features import Found, FrozenFeatures

_TAIL = "_tail_in_training"


@dataclasses.dataclass
class Learner:
    """What `fit` runs on: the model and pictures, or its tail and features.

    Attributes:
        model: keras.Model, compiled.
        train: tf.data.Dataset.
        validation: tf.data.Dataset, or None.
        found: the features behind the datasets; empty where they are pictures.
        features: where those of other datasets are found; None where they are pictures.
        stale: whether they follow from weights that were trained in an earlier stage.
    """

    model: keras.Model
    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    found: Sequence[Found] = ()
    features: FrozenFeatures | None = None
    stale: bool = False


def fit(
    model: keras.Model, learner: Learner, callbacks: list[keras.callbacks.Callback], **options: Any
) -> keras.callbacks.History:
    """`learner.model.fit` for callbacks that see the whole model.

    Args:
        model: the whole model.
        learner: what is run.
        callbacks: such as save the model or change its optimizer's rate.
        options: of `fit`, `epochs` and `verbose` among them.
    """
    train, validation = learner.train, learner.validation
    steps = validation_steps = None
    if model.distribute_strategy.num_replicas_in_sync == 1:
        left = options["epochs"] - options["initial_epoch"]
        if callbacks:  # training may end early, and nobody knows how far iterators have read ahead
            steps = _batches(train)  # told of them, Keras starts one iterator an epoch, not two
        else:
            train, steps = _for_epochs(train, left)
        if learner.found:  # of pictures, some would be decoded in vain after each validation
            validation, validation_steps = _for_epochs(validation, left)
    if learner.model is not model:
        callbacks = keras.callbacks.CallbackList(
            [*callbacks, _StopTogether(learner.model)],
            add_history=True,
            add_progbar=options["verbose"] != 0,
            model=model,
            verbose=options["verbose"],
            epochs=options["epochs"],
            steps=int(learner.train.cardinality()),
        )
        model.stop_training = False
        learner.model.history = model.history
    # Past Keras, which would take it for a part of the model.
    vars(model)[_TAIL] = None if learner.model is model else learner.model
    try:
        return learner.model.fit(
            train,
            steps_per_epoch=steps,
            validation_data=validation,
            validation_steps=validation_steps,
            callbacks=callbacks,
            shuffle=False,  # Keras warns that it does not shuffle a dataset
            **options,
        )
    finally:
        del vars(model)[_TAIL]


def variables_in_training(model: keras.Model) -> list[keras.Variable] | None:
    """What a running `fit` can change; None for all, as where the frozen part is run, too."""
    tail = vars(model).get(_TAIL)
    return None if tail is None else tail.variables


def _for_epochs(data: Any, epochs: int) -> tuple[Any, int | None]:
    """A dataset for so many epochs, and how many batches are one.

    Keras starts two iterators an epoch, one of them in vain; of this, one in all, and one for each
    validation.
    """
    steps = _batches(data)
    if steps is None:
        return data, None
    # Cut off, it does not look for an end: `repeat` would begin once more, and shuffles move on.
    return data.repeat(epochs).take(epochs * steps), steps


def _batches(data: Any) -> int | None:
    """How many batches an epoch has; None where nobody knows."""
    count = int(data.cardinality()) if isinstance(data, tf.data.Dataset) else 0
    return count if count > 0 else None


class _StopTogether(keras.callbacks.Callback):
    """Stops the tail when another callback has stopped the model."""

    def __init__(self, tail: keras.Model):
        super().__init__()
        self._tail = tail

    def on_train_begin(self, logs: Any = None) -> None:
        # Private: Keras's BackupAndRestore says so where training goes on.
        self._tail._initial_epoch = self.model._initial_epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._tail.stop_training = self.model.stop_training

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._tail.stop_training = self.model.stop_training
