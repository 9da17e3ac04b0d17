"""Local MMD: of the features of each class, by labels and by what a model thinks."""

from __future__ import annotations

import tensorflow as tf

from keras_transfer.adaptation.discrepancies.pair_weights import (
    normalized,
    share_of_pairs,
    without_diagonal,
)


def class_pair_weights(
    source_classes: tf.Tensor, target_classes: tf.Tensor, estimator: str
) -> tf.Tensor:
    """What each pair of examples counts in the mean over classes of the classes' MMDs.

    One matrix product for all classes. A class counts if in both domains some example belongs to
    it more than to any other, and in each at least two of weight above 0 to some degree (one, for
    the biased estimate).

    Args:
        source_classes: float32 `[n, classes]`, at least 0: how far each example belongs to each
            class, times its weight.
        target_classes: float32 `[m, classes]`, the same of the target.
        estimator: "unbiased" or "biased".

    Returns:
        float32 `[n + m, n + m]` for the rows of both; zeros where no class counts.
    """
    memberships = [source_classes, target_classes]
    pairs = [share_of_pairs(each, estimator) for each in memberships]
    counts = tf.reduce_all(tf.stack(pairs) > 0, axis=0)
    counts &= _has_examples(source_classes) & _has_examples(target_classes)
    counts = tf.cast(counts, tf.float32)
    shares = tf.math.divide_no_nan(counts, tf.reduce_sum(counts))
    source, target = (normalized(each) for each in memberships)
    between = -tf.matmul(source * shares, target, transpose_b=True)
    of_source, of_target = (
        _within(each, tf.math.divide_no_nan(shares, share), estimator)
        for each, share in zip((source, target), pairs, strict=True)
    )
    upper = tf.concat([of_source, between], axis=1)
    return tf.concat([upper, tf.concat([tf.transpose(between), of_target], axis=1)], axis=0)


def _within(memberships: tf.Tensor, factors: tf.Tensor, estimator: str) -> tf.Tensor:
    weights = tf.matmul(memberships * factors, memberships, transpose_b=True)
    return weights if estimator == "biased" else without_diagonal(weights)


def _has_examples(memberships: tf.Tensor) -> tf.Tensor:
    """For each class, whether an example of weight above 0 belongs to it most."""
    most = tf.one_hot(tf.argmax(memberships, axis=-1), tf.shape(memberships)[-1])
    counts = tf.reduce_any(memberships > 0, axis=-1)
    return tf.reduce_any((most > 0) & counts[:, None], axis=0)
