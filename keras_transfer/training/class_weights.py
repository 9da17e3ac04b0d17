"""Class weights: what is given, checked and turned into weights of examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.models.tasks import REGRESSION, SEVERAL_CLASSES

ClassWeight = Mapping[int, float] | Literal["balanced"] | None


def class_weights(
    model: keras.Model, train: tf.data.Dataset, given: ClassWeight
) -> np.ndarray | None:
    """The weight of each class, float32 `(classes,)`, or None.

    Args:
        model: keras.Model whose outputs are the classes.
        train: tf.data.Dataset of batches `(pictures, int labels[, weights])`; for "balanced" they
            are counted in one pass.
        given: dict from label to weight, 1 for those left out; "balanced" for one over the share
            of each; or None.

    Raises:
        ValueError: if there are no such classes, a weight is not above 0, or pictures have more
            than one label, or numbers.
    """
    if given is None:
        return None
    if model.layers[-1].name in (SEVERAL_CLASSES.output_name, REGRESSION.output_name):
        raise ValueError(
            "Expected no `class_weight` where several classes may hold at once or numbers are "
            "predicted; weigh examples with datasets (pictures, labels, weights). "
            f"Received: class_weight={given!r}."
        )
    classes = max(2, model.output_shape[-1])
    if isinstance(given, Mapping):
        _check(given, getattr(model, "class_names", ()) or range(classes), classes)
        return np.array([given.get(label, 1.0) for label in range(classes)], np.float32)
    if given != "balanced":
        raise ValueError(
            "Expected `class_weight` to be a dict from label to weight, 'balanced' or None. "
            f"Received: class_weight={given!r}."
        )
    return _balanced(train, classes)


def weights_of_examples(labels: tf.Tensor, weights: np.ndarray) -> tf.Tensor:
    """The weight of each example's class; for a share of several classes, their mean.

    Keras's `class_weight` in `fit` takes the largest share for all, refuses datasets that have
    weights, and on a GPU takes 0 for labels above the last key.
    """
    if labels.shape.rank == 2 and labels.shape[-1] == len(weights):
        return tf.linalg.matvec(tf.cast(labels, tf.float32), weights)
    return tf.gather(weights, tf.cast(tf.reshape(labels, [-1]), tf.int32))


def _check(given: Mapping[int, float], names: Any, classes: int) -> None:
    unknown = [label for label in given if label not in range(classes)]
    if unknown:
        raise ValueError(
            f"Expected keys of `class_weight` from 0 to {classes - 1}, for the classes "
            f"{list(names)}. Received also: {unknown}."
        )
    wrong = {label: w for label, w in given.items() if not (math.isfinite(w) and w > 0)}
    if wrong:
        raise ValueError(f"Expected finite weights above 0 in `class_weight`. Received: {wrong}.")


def _balanced(train: tf.data.Dataset, classes: int) -> np.ndarray:
    labels = np.concatenate([batch[1].numpy() for batch in train])
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "Expected one int label a picture for class_weight='balanced'; pass a dict instead. "
            f"Received: {labels.dtype} labels of shape {labels.shape}."
        )
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (len(counts) * np.maximum(1, counts))).astype(np.float32)
