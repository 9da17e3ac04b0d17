"""Features and predictions as one vector: all products of the two, or random ones of them."""

from __future__ import annotations

import tensorflow as tf


def multilinear_map(features: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """Each example's outer product.

    Args:
        features: float tensor `[n, width]`.
        probabilities: `[n, classes]`.

    Returns:
        `[n, width * classes]`.
    """
    products = features[:, :, tf.newaxis] * probabilities[:, tf.newaxis, :]
    return tf.reshape(products, [-1, features.shape[-1] * probabilities.shape[-1]])


def random_multilinear_map(
    features: tf.Tensor,
    probabilities: tf.Tensor,
    feature_matrix: tf.Tensor,
    class_matrix: tf.Tensor,
) -> tf.Tensor:
    """Products of random projections, whose inner products are those of the outer ones on average.

    Reference: Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018, equation 6.

    Args:
        features: float tensor `[n, width]`.
        probabilities: `[n, classes]`.
        feature_matrix: `[width, d]` of independent numbers of mean 0 and variance 1.
        class_matrix: `[classes, d]`, likewise.

    Returns:
        `[n, d]`.
    """
    products = tf.matmul(features, feature_matrix) * tf.matmul(probabilities, class_matrix)
    return products / tf.sqrt(tf.cast(feature_matrix.shape[-1], products.dtype))
