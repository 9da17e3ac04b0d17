"""The two samples of a discrepancy: checked, in float32, and centered."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import tensorflow as tf


class Samples(NamedTuple):
    """Features of two domains, less their pooled mean.

    Distances do not change by that, but no longer drown in the rounding of large features, which
    on GPUs may be to ten bits inside of matrix products.

    Attributes:
        source: float32 `[n, d]`.
        target: float32 `[m, d]`.
        source_weights: float32 `[n]`.
        target_weights: float32 `[m]`.
        mean: float32 `[d]`, what was subtracted; without gradient.
    """

    source: tf.Tensor
    target: tf.Tensor
    source_weights: tf.Tensor
    target_weights: tf.Tensor
    mean: tf.Tensor

    @property
    def pooled(self) -> tf.Tensor:
        """The rows of both, float32 `[n + m, d]`."""
        return tf.concat([self.source, self.target], axis=0)

    @property
    def pooled_weights(self) -> tf.Tensor:
        """The weights of both, float32 `[n + m]`."""
        return tf.concat([self.source_weights, self.target_weights], axis=0)


def weighted_samples(
    source: tf.Tensor,
    target: tf.Tensor,
    source_weights: tf.Tensor | None = None,
    target_weights: tf.Tensor | None = None,
) -> Samples:
    """Checks what a discrepancy is given, and centers it.

    What stands in rows of weight 0, be it NaN, has no effect.

    Args:
        source: float `[n, d]`.
        target: float `[m, d]`, of the same dtype.
        source_weights: numbers or bools `[n]`, at least 0; None for ones.
        target_weights: numbers or bools `[m]`, at least 0; None for ones.

    Raises:
        ValueError: if the shapes or dtypes do not fit together.
    """
    source, target = tf.convert_to_tensor(source), tf.convert_to_tensor(target)
    _check_features(source, target)
    source_weights = _weights(source, source_weights, "source")
    target_weights = _weights(target, target_weights, "target")
    source = _without_padding(source, source_weights)
    target = _without_padding(target, target_weights)
    total = tf.reduce_sum(source_weights) + tf.reduce_sum(target_weights)
    sums = _weighted_sum(source, source_weights) + _weighted_sum(target, target_weights)
    mean = tf.stop_gradient(tf.math.divide_no_nan(sums, total))
    return Samples(source - mean, target - mean, source_weights, target_weights, mean)


def warn_of_too_few(samples: Samples, needed: int) -> None:
    """Tells of a batch that is known to be too small while its graph is made.

    Args:
        samples: of both domains.
        needed: int, the examples that an estimator needs of each domain.
    """
    rows = [samples.source.shape[0], samples.target.shape[0]]
    if any(number is not None and number < needed for number in rows):
        warnings.warn(
            f"Expected at least {needed} examples of each domain, as there are no pairs of fewer: "
            "the discrepancy is 0 and without gradient. Take larger batches, or "
            f"estimator='biased'. Received: {rows[0]} of the source, {rows[1]} of the target.",
            stacklevel=2,
        )


def _check_features(source: tf.Tensor, target: tf.Tensor) -> None:
    received = (
        f"Received: source {source.dtype.name} {source.shape}, "
        f"target {target.dtype.name} {target.shape}."
    )
    if source.shape.rank != 2 or target.shape.rank != 2:
        raise ValueError(
            f"Expected features [examples, width] of each domain; pool or flatten them. {received}"
        )
    if source.dtype != target.dtype or not source.dtype.is_floating:
        raise ValueError(f"Expected features of one float dtype; cast them. {received}")
    if not source.shape[1:].is_compatible_with(target.shape[1:]):
        raise ValueError(
            f"Expected features of one width: take the same layer for both domains. {received}"
        )


def _weights(features: tf.Tensor, weights: tf.Tensor | None, domain: str) -> tf.Tensor:
    if weights is None:
        return tf.ones(tf.shape(features)[:1])
    weights = tf.convert_to_tensor(weights)
    if not features.shape[:1].is_compatible_with(weights.shape):
        raise ValueError(
            f"Expected one weight for each example of the {domain}. Received: weights "
            f"{weights.shape} for features {features.shape}."
        )
    return tf.cast(weights, tf.float32)


def _without_padding(features: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    features = tf.cast(features, tf.float32)
    return tf.where(weights[:, None] > 0, features, tf.zeros_like(features))


def _weighted_sum(features: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """No matrix product: those may be rounded to ten bits."""
    return tf.reduce_sum(features * weights[:, None], axis=0)
