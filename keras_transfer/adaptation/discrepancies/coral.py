"""Deep CORAL: how far the covariances of two domains are apart."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_transfer.adaptation.discrepancies.pair_weights import normalized, share_of_pairs
from keras_transfer.adaptation.discrepancies.samples import warn_of_too_few, weighted_samples


@keras.saving.register_keras_serializable("keras_transfer")
class DeepCoral(keras.layers.Layer):
    """Squared distance of the covariances of two domains' features: ||Cs - Ct||^2 / (4 d^2).

    A term of the loss for `kx.DomainAdaptation`, or called on two tensors. Means play no part.
    Divided by the squared width it is small: weights of 1 to 1000 are usual. The paper takes the
    logits.

    The covariances are unbiased, with examples weighted as by their reliability (the divisor is
    one minus the sum of the squared normalized weights); the distance of the two estimates, at
    least 0, is not unbiased. It computes in float32 under any policy, in O((n + m) d^2). With fewer
    than two examples of a weight above 0 in a domain it is 0 without gradient, with a warning
    where the number is known beforehand. NaN in a feature or weight gives NaN.

    Reference: Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation",
    ECCV Workshops 2016, equation 1.

    Args:
        name: str or None, as of every layer.

    Call arguments:
        source: float tensor `[n, d]`.
        target: float tensor `[m, d]` of the same dtype.
        source_weights: numbers or bools `[n]`, at least 0; None for ones. 0 is padding.
        target_weights: the same for the target, `[m]`.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: if the features are no two matrices of one width and one float dtype.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> narrow, wide = np.array([[-1.0], [1.0]]), np.array([[-3.0], [3.0]])
    >>> float(kx.DeepCoral()(narrow, wide))  # variances of 2 and 18
    64.0
    """

    default_weight: ClassVar[float] = 30.0

    def __init__(self, *, name: str | None = None):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.built = True

    def call(
        self,
        source: tf.Tensor,
        target: tf.Tensor,
        source_weights: tf.Tensor | None = None,
        target_weights: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The discrepancy, a float32 scalar; the class has the arguments."""
        return coral(source, target, source_weights, target_weights)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name}


def coral(
    source: tf.Tensor,
    target: tf.Tensor,
    source_weights: tf.Tensor | None = None,
    target_weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Deep CORAL as a function; `kx.DeepCoral` describes it.

    Args:
        source: float `[n, d]`.
        target: float `[m, d]`, of the same dtype.
        source_weights: numbers `[n]`, at least 0; None for ones.
        target_weights: numbers `[m]`, at least 0; None for ones.

    Returns:
        float32 scalar.

    Raises:
        ValueError: if the samples do not fit together.
    """
    samples = weighted_samples(source, target, source_weights, target_weights)
    warn_of_too_few(samples, 2)
    weights = [samples.source_weights, samples.target_weights]
    # Multiplied, so that NaN stays.
    shares = tf.stack([share_of_pairs(w, "unbiased") for w in weights])
    defined = tf.cast(tf.reduce_all(shares > 0), tf.float32)
    difference = covariance(samples.source, weights[0]) - covariance(samples.target, weights[1])
    width = tf.cast(tf.shape(source)[1], tf.float32)
    return defined * tf.reduce_sum(tf.square(difference / (2 * width)))


def covariance(features: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The unbiased covariance of weighted examples.

    Args:
        features: float32 `[n, d]`.
        weights: float32 `[n]`, at least 0.

    Returns:
        float32 `[d, d]`; zeros where fewer than two examples count.
    """
    weights, pairs = normalized(weights)[:, None], share_of_pairs(weights, "unbiased")
    centered = features - tf.reduce_sum(weights * features, axis=0)
    scatter = tf.matmul(weights * centered, centered, transpose_a=True)
    return tf.math.divide_no_nan(scatter, pairs)
