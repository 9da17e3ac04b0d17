"""Squared Euclidean distances, by one matrix product."""

from __future__ import annotations

import tensorflow as tf


def squared_distances(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Of each row of one matrix to each of another; never a tensor `[n, m, d]`.

    Args:
        rows: float32 `[n, d]`, centered: else the differences of large numbers are lost.
        columns: float32 `[m, d]`.

    Returns:
        float32 `[n, m]`, at least 0. NaN stays NaN.
    """
    products = tf.matmul(rows, columns, transpose_b=True)
    squares = squared_norms(rows)[:, None] + squared_norms(columns)[None, :]
    squared = squares - 2 * products
    # Not `tf.maximum`, which may take 0 for NaN.
    return tf.where(squared < 0, tf.zeros_like(squared), squared)


def squared_distances_within(features: tf.Tensor) -> tf.Tensor:
    """Of each row to each other; exactly 0 on the diagonal.

    Args:
        features: float32 `[n, d]`, centered.

    Returns:
        float32 `[n, n]`.
    """
    squared = squared_distances(features, features)
    return tf.where(is_diagonal(tf.shape(features)[0]), tf.zeros_like(squared), squared)


def is_diagonal(number: tf.Tensor) -> tf.Tensor:
    """Where the pairs of an example with itself stand.

    `tf.linalg.set_diag` has a gradient that XLA can not compile for batches of unknown size.

    Args:
        number: int scalar, of examples.

    Returns:
        bool `[number, number]`.
    """
    numbers = tf.range(number)
    return numbers[:, None] == numbers[None, :]


def squared_norms(features: tf.Tensor) -> tf.Tensor:
    """Of each row, `[n, d]` to `[n]`."""
    return tf.reduce_sum(tf.square(features), axis=-1)
