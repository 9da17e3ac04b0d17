"""What `compile` gets besides the optimizer."""

from __future__ import annotations

from typing import Any

import keras

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
