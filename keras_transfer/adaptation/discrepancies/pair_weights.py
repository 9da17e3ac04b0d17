"""What each pair of examples counts in an MMD: the one place where its estimators differ."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from keras_transfer.adaptation.discrepancies.distances import is_diagonal

ESTIMATORS = ("unbiased", "biased")


class Coefficients(NamedTuple):
    """What the weights of all pairs are made of, for each example of both domains.

    Attributes:
        signed: float32 `[n + m]`: weights that sum to 1 over the source, to -1 over the target.
        within: float32 `[n + m]`: factor of the pairs within the example's domain.
    """

    signed: tf.Tensor
    within: tf.Tensor


def coefficients(
    source_weights: tf.Tensor, target_weights: tf.Tensor, estimator: str
) -> Coefficients:
    """Of the examples; all 0 where a domain has not the examples that the estimator needs.

    Args:
        source_weights: float32 `[n]`, at least 0.
        target_weights: float32 `[m]`, at least 0.
        estimator: "unbiased" or "biased".

    Returns:
        The coefficients.
    """
    parts = [(source_weights, 1.0), (target_weights, -1.0)]
    shares = [share_of_pairs(weights, estimator) for weights, _ in parts]
    # Not a `tf.where`: NaN among the weights is to come out as NaN.
    defined = tf.cast(tf.reduce_all(tf.stack(shares) > 0), tf.float32)
    signed = [sign * normalized(weights) * defined for weights, sign in parts]
    within = [
        tf.fill(tf.shape(weights), tf.math.divide_no_nan(1.0, share))
        for (weights, _), share in zip(parts, shares, strict=True)
    ]
    return Coefficients(tf.concat(signed, axis=0), tf.concat(within, axis=0))


def pair_weights(rows: Coefficients, columns: Coefficients) -> tf.Tensor:
    """Of each row with each column, positive within a domain and negative between domains.

    The MMD is the sum over all pairs of weight times kernel. An unbiased estimator leaves out
    the pairs of an example with itself, which are still in here.

    Args:
        rows: of k of the examples.
        columns: of l of the examples.

    Returns:
        float32 `[k, l]`.
    """
    products = rows.signed[:, None] * columns.signed[None, :]
    return tf.where(products > 0, products * rows.within[:, None], products)


def all_pair_weights(
    source_weights: tf.Tensor, target_weights: tf.Tensor, estimator: str
) -> tf.Tensor:
    """Of all pairs of the pooled examples.

    Args:
        source_weights: float32 `[n]`, at least 0.
        target_weights: float32 `[m]`, at least 0.
        estimator: "unbiased" or "biased".

    Returns:
        float32 `[n + m, n + m]`.
    """
    each = coefficients(source_weights, target_weights, estimator)
    weights = pair_weights(each, each)
    if estimator == "biased":
        return weights
    return without_diagonal(weights)


def without_diagonal(weights: tf.Tensor) -> tf.Tensor:
    """Weights of all pairs, 0 for those of an example with itself.

    Args:
        weights: float32 `[n, n]`.

    Returns:
        float32 `[n, n]`.
    """
    return tf.where(is_diagonal(tf.shape(weights)[0]), tf.zeros_like(weights), weights)


def normalized(weights: tf.Tensor) -> tf.Tensor:
    """Weights that sum to 1 over the examples; zeros where there are none.

    Args:
        weights: float32 `[n]`, or `[n, classes]`, each class of which is normalized.

    Returns:
        float32 of the same shape.
    """
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=0))


def share_of_pairs(weights: tf.Tensor, estimator: str) -> tf.Tensor:
    """The weight of the pairs that an estimator counts within a domain, as a share of all.

    Args:
        weights: float32 `[n]` or `[n, classes]`, at least 0.
        estimator: "unbiased" or "biased".

    Returns:
        float32 scalar or `[classes]`: 1 for the biased estimator; for the unbiased one
        1 - sum of the squared normalized weights, exactly 0 where a single example counts.
    """
    if estimator == "biased":
        total = tf.reduce_sum(weights, axis=0)
        return tf.math.divide_no_nan(total, total)
    # In float64, as few large weights would leave nothing of a difference in float32.
    weights = tf.cast(weights, tf.float64)
    total = tf.reduce_sum(weights, axis=0)
    others = tf.reduce_sum(weights * (total - weights), axis=0)
    return tf.cast(tf.math.divide_no_nan(others, total * total), tf.float32)
