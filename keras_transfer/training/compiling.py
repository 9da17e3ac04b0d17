"""What `compile` gets besides the optimizer, and how a trained model is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_transfer.models.blocks import flatten
from keras_transfer.models.tasks import (
    DEFAULT_LOSS,
    MIXED_CLASSES,
    ONE_CLASS,
    Task,
    task_of,
    with_mixed_labels,
)
from keras_transfer.training.inputs import check_mixing
from keras_transfer.training.losses import SparseLabels
from keras_transfer.training.trained_model import trained_model


def compile_options(
    model: keras.Model, *, mixed_labels: bool, label_smoothing: float = 0.0
) -> dict[str, Any]:
    """What the user compiled the model with, else the loss and metrics of its task.

    Args:
        model: keras.Model, compiled or not.
        mixed_labels: whether labels are shares of classes.
        label_smoothing: see `kx.fine_tune`.

    Raises:
        ValueError: if the user's loss takes no mixed labels or would not be smoothed, or the task
            cannot be told or is not to tell one class of several.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"Expected 0 <= `label_smoothing` < 1. Received: {label_smoothing}.")
    trained = trained_model(model)
    compiled = next(filter(_compiled_by_user, (model, trained)), None)
    if compiled is not None:
        # Keras has no public name for what `compile` was given; serializing it would ask for
        # custom objects to be registered.
        given = dict(compiled._compile_config.config)
        if mixed_labels:
            check_mixing(trained, given)
        if label_smoothing:
            raise ValueError(
                "Expected `label_smoothing` with a model that was not compiled: the loss that it "
                f"was compiled with has one of its own. Received: {label_smoothing} and "
                f"loss {given.get('loss')!r}."
            )
        return {name: value for name, value in given.items() if name != "optimizer"}
    task = task_of(trained)
    if mixed_labels:
        check_mixing(trained, {})
        task = with_mixed_labels(task)
    loss = _smoothed(trained, task, label_smoothing) if label_smoothing else task.loss()
    return {"loss": loss, "metrics": task.metrics()}


def _compiled_by_user(model: keras.Model) -> bool:
    return model.compiled and getattr(model.loss, "name", None) != DEFAULT_LOSS


def _smoothed(model: keras.Model, task: Task, label_smoothing: float) -> keras.losses.Loss:
    if task not in (ONE_CLASS, MIXED_CLASSES):
        raise ValueError(
            "Expected `label_smoothing` with a classifier of one class a picture. Received: "
            f"model {model.name!r} with outputs {task.output_name!r}."
        )
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=label_smoothing, name=DEFAULT_LOSS
    )
    return loss if task is MIXED_CLASSES else SparseLabels(loss, name=DEFAULT_LOSS)


def compile_for_use(
    model: keras.Model, new_optimizer: Callable[[], keras.optimizers.Optimizer]
) -> None:
    """Compiles with Keras's own objects alone, so that the saved model loads without this package.

    Args:
        model: keras.Model, trained; with a `kx.DomainAdaptation` also the model that it adapts.
        new_optimizer: makes one.
    """
    options = compile_options(model, mixed_labels=False)
    trained = trained_model(model)
    with model.distribute_strategy.scope():
        for one in [model] if trained is model else [model, trained]:
            one.compile(new_optimizer(), **options)
            # Keras warns when it loads a model that was saved before its optimizer was built.
            one.optimizer.build(_trainable_by_layer(one))


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
