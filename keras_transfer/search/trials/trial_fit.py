"""Trains the model of a trial: its frozen part once, and on from where it was killed."""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import tensorflow as tf

from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.strategies.strategy import Strategy
from keras_transfer.training.fine_tune import fine_tune
from keras_transfer.training.loss_scaling import check_all_replicas


class _AsBuilt(Strategy):
    """Trains what the model that was built leaves trainable."""

    def apply(self, model: keras.Model, stage: int = 0) -> None:
        """Changes nothing."""

    def get_config(self) -> dict[str, Any]:
        """No arguments."""
        return {}


def fit_trial(
    hypermodel: keras_tuner.HyperModel,
    hyperparameters: keras_tuner.HyperParameters,
    model: keras.Model,
    train: tf.data.Dataset,
    *,
    checkpoints: pathlib.Path,
    cache: FeatureCache | None,
    callbacks: Sequence[keras.callbacks.Callback],
    **options: Any,
) -> Any:
    """Fits by the hypermodel's own `fit` where it has one, else as the model was compiled.

    Args:
        hypermodel: a `fit` of its own gets `checkpoints` and `cache` if it names them among its
            arguments, as `kx.TransferHyperModel` does.
        hyperparameters: of the trial.
        model: what it built, compiled.
        train: tf.data.Dataset of batches.
        checkpoints: folder for the state after each epoch, to go on from.
        cache: for features of the frozen part; None runs it in every epoch.
        callbacks: of `fit`.
        options: what else `search` was given for `fit`.

    Returns:
        What a `fit` of the hypermodel's own returns; else a list of histories, one a stage.
    """
    ours: dict[str, Any] = {"checkpoints": checkpoints, "cache": cache}
    if _has_own_fit(hypermodel):
        named = inspect.signature(hypermodel.fit).parameters
        options |= {name: value for name, value in ours.items() if name in named}
        if model.compiled:
            check_all_replicas(model)
        return hypermodel.fit(hyperparameters, model, train, callbacks=list(callbacks), **options)
    optimizer = model.optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer  # the dtype policy brings the other
    # Private: a schedule, where it is one, is not among what is public.
    rate = optimizer._learning_rate
    scheduled = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    return fine_tune(
        model,
        train,
        strategy=_AsBuilt(),
        optimizer=optimizer,
        learning_rate=1.0 if scheduled else float(keras.ops.convert_to_numpy(rate)),
        schedule=_Compiled(rate) if scheduled else "constant",
        callbacks=callbacks,
        **ours,
        **options,
    )


def _has_own_fit(hypermodel: keras_tuner.HyperModel) -> bool:
    return type(hypermodel).fit is not keras_tuner.HyperModel.fit


class _Compiled:
    """The schedule that the model was compiled with, whatever peak and steps there are."""

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule):
        self._schedule = schedule

    def __call__(self, peak: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
        return self._schedule

    def get_config(self) -> dict[str, Any]:
        """What tells it from others."""
        return self._schedule.get_config()
