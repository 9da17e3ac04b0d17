"""MixUp and CutMix: Keras's layers on batches with labels and weights."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

Mixing: TypeAlias = keras.layers.Layer | Sequence[keras.layers.Layer]


def mixing_layers(mixing: Mixing) -> list[keras.layers.Layer]:
    """The layers, of which each batch goes through one, computing in float32.

    Raises:
        ValueError: if they are no Keras layers, or there are none.
    """
    layers = [mixing] if isinstance(mixing, keras.layers.Layer) else list(mixing)
    if not layers or not all(isinstance(layer, keras.layers.Layer) for layer in layers):
        raise ValueError(
            "Expected `mixing` to be a Keras layer such as keras.layers.MixUp(0.2) or "
            "keras.layers.CutMix(), or a list of them of which each batch goes through one. "
            f"Received: mixing={mixing!r}."
        )
    return [_in_float32(layer) for layer in layers]


def mix(
    layers: Sequence[keras.layers.Layer],
    pictures: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tuple[tf.Tensor, ...]:
    """Mixes the pictures of a batch, and their labels and weights by the same shares.

    With a loss that is linear in the labels, as cross-entropies are, a mixed picture counts as
    its parts, each with its own label and its own weight.

    Args:
        layers: of which a random one is taken; they get a dict of "images" and "labels", as
            `keras.layers.MixUp` and `keras.layers.CutMix` do.
        pictures: float tensor `(batch, height, width, 3)`.
        labels: float tensor `(batch, classes)`, one-hot or several at once.
        weights: float tensor `(batch,)` or `(batch, 1)`, the weight of each example, or None.

    Returns:
        `(pictures, labels)` or `(pictures, labels, weights)`, all float32.

    Raises:
        ValueError: if `keras.layers.CutMix` gets pictures of unknown size, which Keras cannot do.
    """
    _check_size(layers, pictures)
    pictures, labels = tf.cast(pictures, tf.float32), tf.cast(labels, tf.float32)
    if weights is None:
        return _mixed(layers, pictures, labels)
    # Layers mix the columns of labels, so that the weights go along as one more.
    weights = tf.reshape(tf.cast(weights, tf.float32), [-1, 1])
    columns = tf.concat([labels * weights, weights], axis=-1)
    pictures, columns = _mixed(layers, pictures, columns)
    labels, weights = columns[:, :-1], columns[:, -1:]
    return pictures, tf.math.divide_no_nan(labels, weights), weights[:, 0]


def _mixed(
    layers: Sequence[keras.layers.Layer], pictures: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    branches = [functools.partial(_apply, layer, pictures, labels) for layer in layers]
    chosen = tf.random.uniform([], maxval=len(layers), dtype=tf.int32)
    mixed, mixed_labels = branches[0]() if len(layers) == 1 else tf.switch_case(chosen, branches)
    return tf.ensure_shape(mixed, pictures.shape), tf.ensure_shape(mixed_labels, labels.shape)


def _apply(
    layer: keras.layers.Layer, pictures: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    mixed = layer({"images": pictures, "labels": labels}, training=True)
    return mixed["images"], mixed["labels"]


def _in_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Made under a policy of half precision, Keras's MixUp raises and others round labels."""
    if layer.compute_dtype == "float32":
        return layer
    return type(layer).from_config({**layer.get_config(), "dtype": "float32"})


def _check_size(layers: Sequence[keras.layers.Layer], pictures: tf.Tensor) -> None:
    cut = any(isinstance(layer, keras.layers.CutMix) for layer in layers)
    if cut and None in pictures.shape[1:3]:
        raise ValueError(
            "Expected pictures of a fixed size for keras.layers.CutMix; take keras.layers.MixUp "
            f"with `kx.multi_scale`. Received: pictures of shape {pictures.shape}."
        )
