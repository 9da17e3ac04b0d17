"""One call of a backbone for several heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.models.graph import trace


def one_pass(
    backbone: keras.Model, tasks: Sequence[str]
) -> tuple[dict[str, keras.KerasTensor], dict[str, Any]]:
    """One call of the backbone on the pictures of all tasks, and the features of each."""
    shape = backbone.input_shape[1:]
    pixels = {task: keras.Input(shape, name=task, dtype="float32") for task in tasks}
    # float32 under any dtype policy, as the backbone gets its pixels elsewhere.
    joint = keras.layers.Concatenate(axis=0, dtype="float32", name="joint_batch")
    features = backbone(joint(list(pixels.values())))
    parts = [
        SplitBatch(autocast=False, name=f"features_{number}")([tensor, *pixels.values()])
        for number, tensor in enumerate(keras.tree.flatten(features))
    ]
    by_task = [list(depths) if len(parts) > 1 else depths[0] for depths in zip(*parts, strict=True)]
    return pixels, dict(zip(tasks, by_task, strict=True))


def head_of(model: keras.Model, backbone: keras.Model, name: str) -> keras.Model:
    """What follows the backbone in a model: another model, of the same layers.

    Raises:
        ValueError: if the backbone is not what the model begins with.
    """
    same, calls = trace(model)
    calls = [call for call in calls if call.layer is backbone]
    if len(calls) != 1 or calls[0].args[0] is not same.inputs[0]:
        raise ValueError(
            "Expected models that call the backbone once, on their input: put what comes before "
            f"it, such as augmentation, into the data. Received: {model.name!r}."
        )
    return keras.Model(calls[0].outputs, same.output, name=name)


class SplitBatch(keras.layers.Layer):
    """Divides the first of its inputs into batches as long as each of the others."""

    def call(self, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """From the joint batch and the batches that it was made of to one for each."""
        joint, *batches = inputs
        return tf.split(joint, [tf.shape(batch)[0] for batch in batches])

    def compute_output_shape(self, input_shape: Sequence[Any]) -> list[tuple[int | None, ...]]:
        """The shape of the features, for each batch."""
        joint, *batches = input_shape
        return [(batch[0], *joint[1:]) for batch in batches]
