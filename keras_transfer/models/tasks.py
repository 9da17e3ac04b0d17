"""What kinds of outputs there are, and which loss, metrics and activation belong to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras


@dataclasses.dataclass(frozen=True)
class Task:
    """One kind of output.

    A saved model tells its task by the name of its last layer, so that it needs neither custom
    objects nor a second file.

    Attributes:
        output_name: str. Name of the last layer of a model for this task.
        activation: maps what the model gives to probabilities (or values).
        loss: makes the loss that goes with it.
        metrics: makes the metrics that go with it.
    """

    output_name: str
    activation: Callable[[keras.KerasTensor], keras.KerasTensor]
    loss: Callable[[], keras.losses.Loss]
    metrics: Callable[[], list[keras.metrics.Metric]]


# Tells a loss that was chosen here from one that the user gave to `compile`.
DEFAULT_LOSS = "default_loss"

ONE_CLASS = Task(
    "logits",
    keras.ops.softmax,
    lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True, name=DEFAULT_LOSS),
    lambda: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
)
# One class a picture, with a share of each class as its label.
MIXED_CLASSES = dataclasses.replace(
    ONE_CLASS,
    loss=lambda: keras.losses.CategoricalCrossentropy(from_logits=True, name=DEFAULT_LOSS),
    metrics=lambda: [keras.metrics.CategoricalAccuracy(name="accuracy")],
)
SEVERAL_CLASSES = Task(
    "class_logits",
    keras.ops.sigmoid,
    lambda: keras.losses.BinaryCrossentropy(from_logits=True, name=DEFAULT_LOSS),
    lambda: [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)],
)
REGRESSION = Task(
    "values",
    lambda values: values,
    lambda: keras.losses.MeanSquaredError(name=DEFAULT_LOSS),
    lambda: [keras.metrics.MeanAbsoluteError(name="mean_absolute_error")],
)


def with_mixed_labels(task: Task) -> Task:
    """The same kind of output where labels are shares of classes, as MixUp and CutMix give."""
    return MIXED_CLASSES if task is ONE_CLASS else task


def task_of(model: keras.Model) -> Task:
    """The task of a model made by `kx.Classifier` or `kx.Regressor`, loaded ones included.

    Raises:
        ValueError: if the model was made otherwise.
    """
    name = model.layers[-1].name if model.layers else None
    for task in (ONE_CLASS, SEVERAL_CLASSES, REGRESSION):
        if name == task.output_name:
            return task
    raise ValueError(
        "Expected a model made by kx.Classifier or kx.Regressor, whose last layer is named "
        f"'logits', 'class_logits' or 'values'. Received: model {model.name!r} with last layer "
        f"{name!r}."
    )
