"""What happens to a training dataset on its way into `fit`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.models.tasks import ONE_CLASS, SEVERAL_CLASSES


def count_steps(train: tf.data.Dataset) -> int:
    """Batches an epoch; counted where the pipeline does not know."""
    steps = int(train.cardinality())
    if steps == tf.data.UNKNOWN_CARDINALITY:
        steps = sum(1 for _ in train)
    if steps < 1:
        raise ValueError(
            "Expected a finite dataset of at least one batch; `.take(n)` makes an infinite one "
            f"finite. Received: {'an infinite' if steps < 0 else 'an empty'} dataset."
        )
    return steps


def prepared(
    model: keras.Model, train: tf.data.Dataset, augmentation: keras.Model | None, steps: int
) -> tf.data.Dataset:
    """Checks labels, changes pictures by the augmentation, and knows its length."""

    def prepare(pictures: tf.Tensor, labels: tf.Tensor, *weights: tf.Tensor) -> tuple[Any, ...]:
        if model.layers[-1].name == ONE_CLASS.output_name:
            labels = _in_range(labels, model.output_shape[-1])
        if augmentation is not None:
            pictures = augmentation(pictures, training=True)
        return pictures, labels, *weights

    prepared = train.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    counted = prepared.apply(tf.data.experimental.assert_cardinality(steps))
    return counted.prefetch(tf.data.AUTOTUNE)


def _in_range(labels: tf.Tensor, classes: int) -> tf.Tensor:
    """On a GPU a label out of range would give a loss of NaN and no error."""
    message = f"Expected labels from 0 to {classes - 1}, one of {classes} classes."
    low = tf.debugging.assert_non_negative(labels, message)
    high = tf.debugging.assert_less(labels, tf.cast(classes, labels.dtype), message)
    with tf.control_dependencies([low, high]):
        return tf.identity(labels)


def class_weights(model: keras.Model, train: tf.data.Dataset, given: Any) -> Any:
    """The weight of each label; "balanced" is one over its share, counted in one pass."""
    if given is not None and model.layers[-1].name == SEVERAL_CLASSES.output_name:
        raise ValueError(
            "Expected no `class_weight` where several classes may hold at once: Keras would take "
            f"the first of them for all. Received: class_weight={given!r}."
        )
    if given != "balanced":
        return given
    labels = np.concatenate([batch[1].numpy() for batch in train])
    if labels.ndim != 1:
        raise ValueError(
            "Expected one int label a picture for class_weight='balanced'; pass a dict instead. "
            f"Received: labels of shape {labels.shape}."
        )
    counts = np.bincount(labels, minlength=model.output_shape[-1])
    return {label: len(labels) / (len(counts) * max(1, n)) for label, n in enumerate(counts)}
