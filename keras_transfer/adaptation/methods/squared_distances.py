"""How far apart the examples of two domains are, pair by pair."""

from __future__ import annotations

import tensorflow as tf


def squared_distances(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Squared distances of all pairs, by one matrix product.

    What is lost by rounding, about a millionth of the vectors' squared lengths, is set to 0.

    Args:
        source: float tensor `[n, width]`.
        target: `[m, width]`.

    Returns:
        `[n, m]`, at least 0.
    """
    # Distances stay as they are, while far from the origin they would drown in the products.
    center = tf.stop_gradient(tf.reduce_mean(source, axis=0))
    source, target = source - center, target - center
    lengths = (
        tf.reduce_sum(source**2, axis=1)[:, tf.newaxis]
        + tf.reduce_sum(target**2, axis=1)[tf.newaxis, :]
    )
    squares = lengths - 2 * tf.matmul(source, target, transpose_b=True)
    return tf.where(squares > 1e-6 * lengths, squares, 0.0)
