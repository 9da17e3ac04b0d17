"""The mean over examples of which some count more, or not at all."""

from __future__ import annotations

import tensorflow as tf


def weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Sum of `weights * values` over the sum of weights.

    Args:
        values: float tensor of any shape.
        weights: of the same shape and dtype, at least 0.

    Returns:
        A scalar; 0, with gradient 0, where all weights are 0.
    """
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values), tf.reduce_sum(weights))
