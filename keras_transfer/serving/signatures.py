"""What an exported model takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.resizing import Resize, resize_picture
from keras_transfer.models.tasks import REGRESSION, task_of

Outputs = dict[str, tf.Tensor]


def outputs_signature(
    model: keras.Model, class_names: Sequence[str]
) -> Callable[[tf.Tensor], Outputs]:
    """From what the model takes to named outputs.

    A classifier gives `probabilities` float32 `(n, classes)`, `label` string `(n,)` and `score`
    float32 `(n,)`, the probability of that label. A regressor gives `values` `(n, outputs)`.
    """
    task = task_of(model)
    names = tf.constant(list(class_names))

    def predict(inputs: Any) -> Outputs:
        outputs = tf.cast(task.activation(model(inputs, training=False)), tf.float32)
        if task is REGRESSION:
            return {"values": outputs}
        return {
            "probabilities": outputs,
            "label": tf.gather(names, tf.argmax(outputs, axis=-1)),
            "score": tf.reduce_max(outputs, axis=-1),
        }

    return predict


def bytes_signature(
    predict: Callable[[tf.Tensor], Outputs], size: tuple[int, int], resize: Resize
) -> Callable[[tf.Tensor], Outputs]:
    """From encoded pictures, string `(n,)`, to the outputs of `predict`, as training saw them."""

    def predict_bytes(image_bytes: tf.Tensor) -> Outputs:
        pixels = tf.map_fn(
            lambda data: resize_picture(decode_picture(data), size, resize),
            image_bytes,
            fn_output_signature=tf.TensorSpec([*size, 3], tf.float32),
        )
        return predict(pixels)

    return predict_bytes


def text_signature(
    predict: Callable[[Any], Outputs], preprocessor: keras.layers.Layer
) -> Callable[[tf.Tensor], Outputs]:
    """From texts, string `(n,)`, to the outputs of `predict`, as training saw them."""

    def predict_text(text: tf.Tensor) -> Outputs:
        return predict(preprocessor(text))

    return predict_text
