"""The MMD of whole data sets, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import tensorflow as tf

from keras_transfer.adaptation.discrepancies.bandwidths import (
    bandwidth_of,
    warn_of_constant_features,
)
from keras_transfer.adaptation.discrepancies.distances import squared_distances
from keras_transfer.adaptation.discrepancies.kernels import kernel_values
from keras_transfer.adaptation.discrepancies.mmd import check_settings
from keras_transfer.adaptation.discrepancies.pair_weights import (
    ESTIMATORS,
    Coefficients,
    coefficients,
    pair_weights,
)
from keras_transfer.adaptation.discrepancies.samples import warn_of_too_few, weighted_samples


def blockwise_mmd(
    source: tf.Tensor,
    target: tf.Tensor,
    source_weights: tf.Tensor | None = None,
    target_weights: tf.Tensor | None = None,
    *,
    kernels: int = 5,
    bandwidth: float | str = "mean",
    estimator: str = "unbiased",
    kernel: str = "gaussian",
    block_size: int = 1024,
) -> tf.Tensor:
    """Squared maximum mean discrepancy of two whole data sets, in little memory.

    What `kx.MaximumMeanDiscrepancy` gives, and its gradient, but the kernel matrix is computed a
    block of rows at a time, and once more for the gradient: O(block_size * (n + m)) memory
    instead of O((n + m)^2). For features of thousands of examples; batches are faster without.
    Gradients flow to the features alone, and only once.

    Reference: Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.

    Args:
        source: float `[n, d]`.
        target: float `[m, d]`, of the same dtype.
        source_weights: numbers or bools `[n]`, at least 0; None for ones.
        target_weights: numbers or bools `[m]`, at least 0; None for ones.
        kernels: int, at least 1. Defaults to 5.
        bandwidth: "mean", "median" (of 1,000 examples) or a float above 0. Defaults to "mean".
        estimator: "unbiased", may be negative, or "biased". Defaults to "unbiased".
        kernel: "gaussian", "laplacian" or "energy". Defaults to "gaussian".
        block_size: int, at least 1, rows of the kernel matrix at a time. Defaults to 1024.

    Returns:
        float32 scalar.

    Raises:
        ValueError: if an argument is out of range, or the samples do not fit together.

    Example:

    >>> import keras
    >>> import keras_transfer as kx
    >>> source, target = keras.random.normal([500, 8], seed=1), keras.random.normal([300, 8], 1)
    >>> bool(kx.blockwise_mmd(source, target, block_size=64) > 0.1)
    True
    """
    check_settings(kernels, bandwidth, estimator, kernel, estimators=ESTIMATORS)
    if not isinstance(block_size, int) or block_size < 1:
        raise ValueError(f"Expected `block_size` of at least 1. Received: {block_size!r}.")
    samples = weighted_samples(source, target, source_weights, target_weights)
    warn_of_too_few(samples, 1 if estimator == "biased" else 2)
    g = bandwidth_of(samples, bandwidth)
    warn_of_constant_features(g, "blockwise_mmd", in_graphs=False)
    each = coefficients(samples.source_weights, samples.target_weights, estimator)
    each = Coefficients(*(tf.stop_gradient(part) for part in each))

    def sums(block: _Block, columns: tf.Tensor) -> tf.Tensor:
        """Of weight times kernel, for each row of the block."""
        rows, numbers, signed, within = block
        same = numbers[:, None] == tf.range(tf.shape(columns)[0])[None, :]
        squared = squared_distances(rows, columns)
        squared = tf.where(same, tf.zeros_like(squared), squared)
        values = kernel_values(squared, g, kernel=kernel, kernels=kernels)
        weights = pair_weights(Coefficients(signed, within), each)
        if estimator == "unbiased":
            weights = tf.where(same, tf.zeros_like(weights), weights)
        return tf.reduce_sum(weights * values, axis=1)

    return _sum_over_blocks(sums, samples.pooled, each, block_size)


# Rows of the kernel matrix: features, numbers, and both coefficients.
_Block: TypeAlias = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


def _sum_over_blocks(
    sums: Callable[[_Block, tf.Tensor], tf.Tensor],
    pooled: tf.Tensor,
    each: Coefficients,
    block_size: int,
) -> tf.Tensor:
    """The weights being symmetric, the gradient is twice that of the rows."""

    @tf.custom_gradient
    def total(features: tf.Tensor) -> tf.Tensor:
        blocks = _blocks(features, each, block_size)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            of_blocks = _for_each(lambda block: _gradient(sums, block, features), blocks)
            of_rows = tf.reshape(of_blocks, [-1, tf.shape(features)[1]])
            return upstream * of_rows[: tf.shape(features)[0]]

        return tf.reduce_sum(_for_each(lambda block: sums(block, features), blocks)), gradient

    return total(pooled)


def _gradient(
    sums: Callable[[_Block, tf.Tensor], tf.Tensor], block: _Block, columns: tf.Tensor
) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(block[0])
        half = tf.reduce_sum(sums(block, tf.stop_gradient(columns)))
    return 2 * tape.gradient(half, block[0])


def _blocks(features: tf.Tensor, each: Coefficients, block_size: int) -> _Block:
    """Each `[blocks, block_size, ...]`; what fills the last one up has a weight of 0."""
    number = tf.shape(features)[0]
    missing = -number % block_size
    return tuple(
        tf.reshape(
            tf.pad(part, [[0, missing]] + [[0, 0]] * (part.shape.rank - 1)),
            tf.concat([[-1, block_size], tf.shape(part)[1:]], axis=0),
        )
        for part in (features, tf.range(number), *each)
    )


def _for_each(function: Callable[[_Block], tf.Tensor], blocks: _Block) -> tf.Tensor:
    """One after the other, as memory is what this is about."""
    return tf.map_fn(function, blocks, fn_output_signature=tf.float32, parallel_iterations=1)
