"""What signatures take: from requests to what the model takes, and which of them are valid.

A request that cannot be read stops no other: it goes through the model as zeros and is told apart
afterwards. TF Serving merges requests of different clients into one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.resizing import Resize, resize_picture

# What the model takes, and a bool for each example.
Read = tuple[Any, tf.Tensor]
# Pictures that are decoded at a time: each may take hundreds of megabytes while it is.
_AT_ONCE = 4


def encoded_pictures(size: tuple[int, int], resize: Resize) -> Callable[[tf.Tensor], Read]:
    """Reads encoded pictures, string `(n,)`, as training saw them; valid are those it decodes."""

    # A graph of its own, which is traced once, and of which all signatures hold one.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def read(image_bytes: tf.Tensor) -> Read:
        return pixels(decode_each(image_bytes, size, resize))

    return read


def pixels(batch: tf.Tensor) -> Read:
    """Reads pixels `(n, height, width, 3)`, float32; valid are those without NaN and infinity."""
    valid = tf.reduce_all(tf.math.is_finite(batch), axis=[1, 2, 3])
    # To choose between rows costs as much as several layers.
    chosen = tf.cond(tf.reduce_all(valid), lambda: batch, lambda: where(valid, batch))
    return tf.ensure_shape(chosen, batch.shape), valid


def texts(preprocessor: Callable[[tf.Tensor], Any]) -> Callable[[tf.Tensor], Read]:
    """Reads texts, string `(n,)`; valid are those with more than white space."""

    def read(text: tf.Tensor) -> Read:
        return preprocessor(text), tf.strings.length(tf.strings.strip(text)) > 0

    return read


def tokens(names: list[str], vocabulary_size: int) -> Callable[..., Read]:
    """Reads what a preprocessor gives, int32 `(n, tokens)` each, the first of them the ids.

    Valid are rows of ids within the vocabulary, some of which the mask does not leave out:
    TensorFlow would refuse the whole batch for one id outside.
    """

    def read(*given: tf.Tensor) -> Read:
        parts = dict(zip(names, given, strict=True))
        ids = parts["token_ids"]
        valid = tf.reduce_all((ids >= 0) & (ids < vocabulary_size), axis=1)
        if "padding_mask" in parts:
            valid &= tf.reduce_any(parts["padding_mask"] != 0, axis=1)
        return {name: where(valid, part) for name, part in parts.items()}, valid

    return read


def as_sent(tensor: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """Refuses a request of another shape.

    A session takes whatever it is fed, and leaves out checks of what the graph says already: a
    convolution would answer for pictures of another size. So the graph has to forget it first.
    """
    forgotten = tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=[None] * shape.rank)
    return tf.ensure_shape(forgotten, shape)


def decode_each(image_bytes: tf.Tensor, size: tuple[int, int], resize: Resize) -> tf.Tensor:
    """Pixels `(n, *size, 3)` of encoded pictures; NaN for each that cannot be decoded."""
    count = tf.size(image_bytes, out_type=tf.int64)

    def decode(number: tf.Tensor, data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number, resize_picture(decode_picture(data), size, resize)

    # An error ends a map_fn, and leaves a row out of a dataset.
    numbered = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
    decoded = numbered.map(decode, num_parallel_calls=_AT_ONCE).ignore_errors()
    # One row more: a batch is never empty.
    last = tf.data.Dataset.from_tensors((count, tf.zeros([*size, 3])))
    numbers, pictures = decoded.concatenate(last).batch(count + 1).get_single_element()
    unread = tf.fill(tf.stack([count + 1, *size, 3]), float("nan"))
    whole = tf.tensor_scatter_nd_update(unread, numbers[:, None], pictures)[:-1]
    return tf.ensure_shape(whole, [None, *size, 3])


def where(valid: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """The rows that are valid; zeros, or empty strings, for the others."""
    valid = tf.reshape(valid, [-1, *[1] * (batch.shape.rank - 1)])
    return tf.where(valid, batch, tf.zeros_like(batch))
