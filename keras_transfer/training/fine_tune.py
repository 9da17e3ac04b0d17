"""Apply a strategy, compile with good defaults, fit; resumable."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

from keras_transfer.models.classifier import note_resize
from keras_transfer.models.tasks import task_of
from keras_transfer.strategies.freezing import FeatureExtraction, Strategy
from keras_transfer.training.checkpoints import Checkpoints, EarlyStopping, Progress
from keras_transfer.training.inputs import class_weights, count_steps, prepared

WARMUP_SHARE = 0.1


def fine_tune(
    model: keras.Model,
    train: tf.data.Dataset,
    validation_data: tf.data.Dataset | None = None,
    *,
    strategy: Strategy | None = None,
    epochs: int = 10,
    learning_rate: float | None = None,
    augmentation: keras.Model | None = None,
    class_weight: dict[int, float] | Literal["balanced"] | None = None,
    early_stopping: int | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> list[keras.callbacks.History]:
    """Applies a strategy, compiles the model and fits it.

    The optimizer is AdamW (no weight decay on biases and normalization) on a cosine that falls to
    zero, after a linear warm-up over the first tenth of the steps. A model that was
    compiled before keeps its loss, metrics and other settings; else they follow from its head.

    Args:
        model: keras.Model, changed in place.
        train: tf.data.Dataset of batches `(pictures, labels)`, finite.
        validation_data: tf.data.Dataset of the same, or None.
        strategy: a `kx.Strategy`. Defaults to `kx.FeatureExtraction()`.
        epochs: int, at least 1.
        learning_rate: float, the peak of the schedule. Defaults to the strategy's own.
        augmentation: keras.Model that changes training pictures, such as `kx.augmentation(...)`.
        class_weight: dict from label to weight; "balanced" weighs classes by one over their
            share among the training labels; None weighs all pictures alike.
        early_stopping: int, the number of epochs without a lower validation loss after which
            training stops and the best weights are restored; None to train all epochs.
        checkpoints: folder for the state after every epoch. Called again with the same
            settings, training goes on where it was killed. Remove the folder to train anew, also
            with other data: of the data only shapes and the number of batches are compared.
        callbacks: further Keras callbacks.
        verbose: as in `keras.Model.fit`.

    Returns:
        A list with one `keras.callbacks.History` a stage (these strategies have one), including
        the epochs before a resume.

    Raises:
        ValueError: if a setting is out of range, the data is infinite or its labels are, the
            loss cannot be told from the model, or the checkpoints are of another training.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> data = kx.arrays(np.zeros([8, 32, 32, 3], "uint8"), [0, 1] * 4, validation_split=0.25)
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3))
    >>> model = kx.Classifier(backbone, data.class_names)
    >>> [history] = kx.fine_tune(model, data.train, data.validation, epochs=1, verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'loss', 'val_accuracy', 'val_loss']
    """
    strategy = strategy or FeatureExtraction()
    learning_rate = strategy.default_learning_rate if learning_rate is None else learning_rate
    _check(epochs, learning_rate, early_stopping, validation_data)
    steps = count_steps(train)
    note_resize(model, train)
    strategy.apply(model)
    _compile(model, _optimizer(learning_rate, strategy.default_weight_decay, epochs * steps))
    stopping = None if early_stopping is None else EarlyStopping(early_stopping)
    keeping = None
    progress = Progress(0, {}, False)
    if checkpoints is not None:
        settings = {
            "strategy": [type(strategy).__name__, strategy.get_config()],
            "epochs": epochs,
            "steps": steps,
            "data": repr(train.element_spec),
            "learning_rate": learning_rate,
            "augmentation": None if augmentation is None else _digest(augmentation.get_config()),
            "class_weight": repr(class_weight),
            "early_stopping": early_stopping,
            "weights": _digest([weight.shape for weight in model.weights]),
        }
        keeping = Checkpoints(pathlib.Path(checkpoints), settings, stopping)
        progress = keeping.restore(model)
        _say(progress, epochs, checkpoints, verbose)
    if progress.stopped or progress.epochs >= epochs:
        return [_history(model, progress)]
    history = model.fit(
        prepared(model, train, augmentation, steps),
        validation_data=validation_data,
        epochs=epochs,
        initial_epoch=progress.epochs,
        class_weight=class_weights(model, train, class_weight),
        callbacks=[c for c in (stopping, keeping, *callbacks) if c is not None],
        shuffle=False,  # Keras warns that it does not shuffle a dataset
        verbose=verbose,
    )
    return [_joined(progress, history)]


def _check(
    epochs: int, learning_rate: float, early_stopping: int | None, validation_data: Any
) -> None:
    if epochs < 1:
        raise ValueError(f"Expected `epochs` to be at least 1. Received: epochs={epochs}.")
    if not learning_rate > 0:
        raise ValueError(f"Expected `learning_rate` above 0. Received: {learning_rate}.")
    if early_stopping is not None and (early_stopping < 1 or validation_data is None):
        raise ValueError(
            "Expected `early_stopping` to be at least 1 epoch, with `validation_data` to watch. "
            f"Received: early_stopping={early_stopping}, validation_data={validation_data}."
        )


def _optimizer(learning_rate: float, weight_decay: float, steps: int) -> keras.optimizers.Optimizer:
    warmup = max(1, round(WARMUP_SHARE * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=learning_rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _compile(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    if model.compiled:
        # Keras has no public name for what `compile` was given; serializing it would ask for
        # custom objects to be registered.
        given = dict(model._compile_config.config)
        model.compile(**{**given, "optimizer": optimizer})
    else:
        task = task_of(model)
        model.compile(optimizer, task.loss(), metrics=task.metrics())


def _digest(description: Any) -> str:
    return hashlib.sha256(repr(description).encode()).hexdigest()[:16]


def _say(progress: Progress, epochs: int, folder: Any, verbose: str | int) -> None:
    if not (progress.epochs and verbose):
        return
    if progress.stopped or progress.epochs >= epochs:
        print(f"Training was finished, its end is taken from {folder}; remove it to train anew.")
    else:
        print(f"Going on after epoch {progress.epochs} of {epochs}, from {folder}.")


def _history(model: keras.Model, progress: Progress) -> keras.callbacks.History:
    history = keras.callbacks.History()
    history.set_model(model)
    history.history = progress.history
    history.epoch = list(range(progress.epochs))
    return history


def _joined(progress: Progress, history: keras.callbacks.History) -> keras.callbacks.History:
    before = progress.history
    history.history = {k: before.get(k, []) + list(v) for k, v in history.history.items()}
    history.epoch = list(range(progress.epochs)) + list(history.epoch)
    return history
