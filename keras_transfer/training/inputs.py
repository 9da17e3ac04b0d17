"""What happens to a training dataset on its way into `fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.adaptation.domain_adaptation import DomainAdaptation
from keras_transfer.data.mixing import Mixing, mix, mixing_layers
from keras_transfer.models.tasks import ONE_CLASS, REGRESSION
from keras_transfer.training.class_weights import weights_of_examples


def preparation(
    model: keras.Model,
    augmentation: keras.Model | None,
    mixing: Mixing | None,
    weights: np.ndarray | None = None,
) -> Callable[..., tuple[Any, ...]]:
    """What happens to a batch `(pictures, labels[, weights])`.

    Labels are checked, examples weighted, pictures augmented, and then mixed; of a pair of domains
    checked and augmented.

    Args:
        model: keras.Model to be trained, or a `kx.DomainAdaptation` for pairs.
        augmentation: keras.Model that changes pictures, or None.
        mixing: Keras layer, or a list of them of which each batch goes through one, or None.
        weights: float array `(classes,)`, the weight of each class, or None.
    """
    if isinstance(model, DomainAdaptation):
        return _preparation_of_pairs(model.model, augmentation)
    classes = model.output_shape[-1]
    one_class = model.layers[-1].name == ONE_CLASS.output_name
    layers = None if mixing is None else mixing_layers(mixing)

    def prepare(pictures: tf.Tensor, labels: tf.Tensor, *given: tf.Tensor) -> tuple[Any, ...]:
        if one_class:
            labels = _in_range(labels, classes)
        if weights is not None:
            of_examples = weights_of_examples(labels, weights)
            given = (of_examples * _vector(given[0]) if given else of_examples,)
        if augmentation is not None:
            pictures = augmentation(pictures, training=True)
        if layers is not None:
            return mix(layers, pictures, one_hot(labels, classes), *given)
        return pictures, labels, *given

    return prepare


def _preparation_of_pairs(
    model: keras.Model, augmentation: keras.Model | None
) -> Callable[..., tuple[Any, ...]]:
    one_class = model.layers[-1].name == ONE_CLASS.output_name

    def prepare(pictures: Any, labels: dict[str, tf.Tensor], *weights: Any) -> tuple[Any, ...]:
        if one_class:
            classes = model.output_shape[-1]
            labels = {d: _in_range(x, classes, few=d == "target") for d, x in labels.items()}
        if augmentation is not None:
            pictures = {d: augmentation(x, training=True) for d, x in pictures.items()}
        return pictures, labels, *weights

    return prepare


def prepared(
    model: keras.Model,
    train: tf.data.Dataset,
    augmentation: keras.Model | None,
    mixing: Mixing | None,
    steps: int,
    *,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """The dataset that `fit` gets, of so many batches that went through `preparation`."""
    # In parallel the batches would race for random numbers, and no training could be repeated.
    random = augmentation is not None or mixing is not None
    prepare = preparation(model, augmentation, mixing, weights)
    return ready(train.map(prepare, num_parallel_calls=None if random else tf.data.AUTOTUNE), steps)


def ready(dataset: tf.data.Dataset, steps: int) -> tf.data.Dataset:
    """The dataset that `fit` gets, of known length and ahead of training."""
    known = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return known.prefetch(tf.data.AUTOTUNE)


def categorical(dataset: tf.data.Dataset, num_classes: int) -> tf.data.Dataset:
    """One-hot labels, for the validation data of a model that is trained with mixing."""

    def prepare(pictures: tf.Tensor, labels: tf.Tensor, *weights: tf.Tensor) -> tuple[Any, ...]:
        return pictures, one_hot(labels, num_classes), *weights

    return dataset.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)


def one_hot(labels: tf.Tensor, classes: int) -> tf.Tensor:
    """Labels as shares of classes, float32 `(batch, classes)`; left alone where they are so.

    Raises:
        ValueError: if there is neither one int label a picture nor one share a class.
    """
    if labels.shape.rank == 2 and labels.shape[-1] == classes:
        return tf.cast(labels, tf.float32)
    if not (labels.dtype.is_integer and (labels.shape.rank == 1 or labels.shape[-1:] == [1])):
        raise ValueError(
            f"Expected one int label a picture, or (batch, {classes}) shares of classes. "
            f"Received: {labels.dtype.name} labels of shape {labels.shape}."
        )
    return tf.one_hot(_in_range(tf.reshape(labels, [-1]), classes), classes)


def check_mixing(model: keras.Model, compiled: Mapping[str, Any]) -> None:
    """Checks that a model, its loss and its metrics take mixed labels.

    Args:
        model: keras.Model to be trained with mixing.
        compiled: dict of what `compile` was given; empty where it was not called.

    Raises:
        ValueError: if the model predicts numbers, or the loss or a metric takes int labels alone.
    """
    if model.layers[-1].name == REGRESSION.output_name:
        raise ValueError(
            "Expected a classifier for `mixing`: half of one picture and half of another need not "
            f"have the mean of their numbers. Received: model {model.name!r} made by kx.Regressor."
        )
    parts = [compiled.get(name) for name in ("loss", "metrics", "weighted_metrics")]
    sparse = [part for part in keras.tree.flatten(parts) if _takes_ints(part)]
    if sparse:
        raise ValueError(
            "Expected a loss and metrics for one-hot labels with `mixing`, such as "
            "keras.losses.CategoricalCrossentropy(from_logits=True) and 'accuracy' (without "
            f"kx.SparseLabels, without 'sparse_'). Received: {sparse}."
        )


def _takes_ints(part: Any) -> bool:
    """Keras names such losses and metrics alike; its generalized cross-entropy is an exception."""
    kinds: Sequence[Any] = [part] if hasattr(part, "__name__") else type(part).__mro__
    names = [part] if isinstance(part, str) else [kind.__name__ for kind in kinds]
    squeezed = [name.lower().replace("_", "") for name in names]
    return any("sparse" in n or n == "categoricalgeneralizedcrossentropy" for n in squeezed)


def _vector(weights: tf.Tensor) -> tf.Tensor:
    """Weights of examples, float32 `(batch,)`: NumPy's are float64."""
    return tf.cast(tf.reshape(weights, [-1]), tf.float32)


def _in_range(labels: tf.Tensor, classes: int, *, few: bool = False) -> tf.Tensor:
    """On a GPU a label out of range would give a loss of NaN and no error.

    Where a `few` examples have one, numbers below 0 are none.
    """
    message = f"Expected labels from 0 to {classes - 1}, one of {classes} classes."
    known = tf.reduce_all((few | (labels >= 0)) & (labels < tf.cast(classes, labels.dtype)))
    # As `tf.debugging` does it, but for its branches: those slow down each start of an epoch.
    check = tf.raw_ops.Assert(condition=known, data=[message, labels])
    with tf.control_dependencies([check]):
        return tf.identity(labels)
