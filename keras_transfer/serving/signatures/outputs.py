"""What signatures give: float32 and strings, one row an example, and `valid` beside them.

Rows that are not valid hold zeros and empty strings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.models.compared_features import compared_features
from keras_transfer.models.tasks import REGRESSION, task_of
from keras_transfer.serving.signatures.inputs import where

Outputs = dict[str, tf.Tensor]
# From what the model takes and which rows are valid.
Answer = Callable[[Any, tf.Tensor], Outputs]
_MOST_LABELS = 5


def predictions(model: keras.Model, class_names: Sequence[str]) -> Answer:
    """`probabilities` `(n, classes)`, `label` and `score` `(n,)`; a regressor's `values`."""
    task = task_of(model)
    names = tf.constant(list(class_names))

    def answer(inputs: Any, valid: tf.Tensor) -> Outputs:
        outputs = _activated(model, inputs)
        if task is REGRESSION:
            return {"values": where(valid, outputs), "valid": valid}
        return {
            "probabilities": where(valid, outputs),
            "label": where(valid, tf.gather(names, tf.argmax(outputs, axis=-1))),
            "score": where(valid, tf.reduce_max(outputs, axis=-1)),
            "valid": valid,
        }

    return answer


def best_classes(model: keras.Model, class_names: Sequence[str]) -> Answer:
    """`labels` and `scores` `(n, k)` of the five best classes, or of all, the best first."""
    names = tf.constant(list(class_names))
    count = min(_MOST_LABELS, len(class_names))

    def answer(inputs: Any, valid: tf.Tensor) -> Outputs:
        outputs = _activated(model, inputs)
        scores, places = tf.math.top_k(outputs, count)
        labels = tf.gather(names, places)
        return {"labels": where(valid, labels), "scores": where(valid, scores), "valid": valid}

    return answer


def features(model: keras.Model) -> Answer:
    """`features` `(n, width)`: what the last layer of the model takes, as an embedding.

    Raises:
        ValueError: if the last layer is not dense.
    """
    with_features = compared_features(model)

    def answer(inputs: Any, valid: tf.Tensor) -> Outputs:
        found, _ = with_features(inputs, training=False)
        return {"features": where(valid, tf.cast(found, tf.float32)), "valid": valid}

    return answer


def _activated(model: keras.Model, inputs: Any) -> tf.Tensor:
    """Probabilities of a classifier, values of a regressor."""
    return tf.cast(task_of(model).activation(model(inputs, training=False)), tf.float32)
