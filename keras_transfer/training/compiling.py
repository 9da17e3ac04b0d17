"""What `compile` gets besides the optimizer, and how a trained model is left."""

from __future__ import annotations

from typing import Any

import keras

from keras_transfer.models.blocks import flatten
from keras_transfer.models.tasks import DEFAULT_LOSS, task_of, with_mixed_labels
from keras_transfer.training.inputs import check_mixing


def compile_options(model: keras.Model, *, mixed_labels: bool) -> dict[str, Any]:
    """What the user compiled the model with, else the loss and metrics of its task.

    Args:
        model: keras.Model, compiled or not.
        mixed_labels: whether labels are shares of classes.

    Raises:
        ValueError: if the user's loss takes no mixed labels, or the task cannot be told.
    """
    if model.compiled and getattr(model.loss, "name", None) != DEFAULT_LOSS:
        # Keras has no public name for what `compile` was given; serializing it would ask for
        # custom objects to be registered.
        given = dict(model._compile_config.config)
        if mixed_labels:
            check_mixing(model, given)
        return {name: value for name, value in given.items() if name != "optimizer"}
    task = task_of(model)
    if mixed_labels:
        check_mixing(model, {})
        task = with_mixed_labels(task)
    return {"loss": task.loss(), "metrics": task.metrics()}


def compile_for_use(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Compiles with Keras's own objects alone, so that the saved model loads without this package.

    Args:
        model: keras.Model, trained.
        optimizer: a new one.
    """
    with model.distribute_strategy.scope():
        model.compile(optimizer, **compile_options(model, mixed_labels=False))
        # Keras warns when it loads a model that was saved before its optimizer was built.
        model.optimizer.build(_trainable_by_layer(model))


def _trainable_by_layer(model: keras.Model) -> list[keras.Variable]:
    """Those that a loaded model would train: files keep the flags of layers, not of weights."""
    frozen = [
        weight
        for layer in flatten(model)
        if layer.trainable
        # Private: the public list leaves out weights whose own flag is off.
        for weight in layer._trainable_variables
        if not weight.trainable
    ]
    for weight in frozen:
        weight.trainable = True
    trainable = model.trainable_variables
    for weight in frozen:
        weight.trainable = False
    return trainable
