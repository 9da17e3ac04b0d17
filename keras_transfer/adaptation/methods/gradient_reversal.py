"""What lets two parts of a network play against each other in one step."""

from __future__ import annotations

import tensorflow as tf


def gradient_reversal(x: tf.Tensor, factor: float | tf.Tensor = 1.0) -> tf.Tensor:
    """Gives `x` as it is; its gradient is multiplied by `-factor`.

    Reference: Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015.

    Args:
        x: float tensor of any shape.
        factor: float or scalar tensor, at least 0. Defaults to 1.0.

    Returns:
        A tensor equal to `x`.
    """
    scale = -tf.cast(factor, x.dtype)

    @tf.custom_gradient
    def reverse(x: tf.Tensor) -> tuple[tf.Tensor, object]:
        return tf.identity(x), lambda gradient: scale * gradient

    return reverse(x)
