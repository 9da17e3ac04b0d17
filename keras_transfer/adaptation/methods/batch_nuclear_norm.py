"""BNM: a batch of predictions on the target of large nuclear norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import tensorflow as tf

from keras_transfer.adaptation.methods.method import DomainBatch, Method


@tf.custom_gradient
def nuclear_norm(matrix: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """The sum of the singular values.

    Its gradient is `U V'`, over the singular values that are not 0. That of TensorFlow's SVD
    divides by their differences, and is infinite where two are equal, as those of 0 are.

    Args:
        matrix: float tensor `[n, m]`.

    Returns:
        A scalar, at least 0.
    """
    values, left, right = tf.linalg.svd(matrix)
    least = tf.reduce_max(values) * tf.cast(1e-6, values.dtype)
    kept = tf.cast(values > least, values.dtype)
    direction = tf.matmul(left * kept, right, transpose_b=True)
    return tf.reduce_sum(values), lambda gradient: gradient * direction


class BatchNuclearNorm(Method):
    """Batch nuclear-norm maximization (BNM) on the target; compares no features.

    The nuclear norm of the class probabilities `[n, classes]` is large where predictions are
    certain and many classes are in use; the term is the norm over -n. It asks for diversity less
    strictly than `kx.InformationMaximization`, as it does not want classes to be equally
    frequent. An example of weight k counts as k of them.

    Reference: Cui et al., "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization
    under Label Insufficient Situations", CVPR 2020.

    Args:
        name: str, as for every Keras layer.

    Example:

    >>> import keras_transfer as kx
    >>> kx.BatchNuclearNorm().get_config()
    {'name': 'batch_nuclear_norm'}
    """

    default_weight: ClassVar[float] = 0.3

    def __init__(self, *, name: str = "batch_nuclear_norm"):
        super().__init__(name=name)

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The nuclear norm of the target's probabilities over minus the sum of weights."""
        rows = tf.sqrt(target.weights)[:, tf.newaxis] * tf.nn.softmax(target.logits)
        return -tf.math.divide_no_nan(nuclear_norm(rows), tf.reduce_sum(target.weights))
