"""Distances of pairs of examples for losses that take roots of them."""

from __future__ import annotations

import tensorflow as tf

from keras_transfer.adaptation.discrepancies.distances import squared_distances, squared_norms


def centered_squared_distances(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
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
    squares = squared_distances(source, target)
    lengths = squared_norms(source)[:, None] + squared_norms(target)[None, :]
    return tf.where(squares > 1e-6 * lengths, squares, 0.0)
