"""Kernels of squared distances: Gaussian and Laplacian ladders, and the energy distance's."""

from __future__ import annotations

import tensorflow as tf

KERNELS = ("gaussian", "laplacian", "energy")


def kernel_values(
    squared: tf.Tensor, bandwidth: tf.Tensor, *, kernel: str = "gaussian", kernels: int = 5
) -> tf.Tensor:
    """The kernel of each pair of examples.

    The mean of `kernels` ones whose bandwidths double from one to the next, around the given one:
    1/4, 1/2, 1, 2 and 4 times it for 5. As they are a mean, the kernel of an example with itself
    is 1 whatever their number. With d2 the squared distance and g the bandwidth they are
    exp(-d2 / g) ("gaussian") or exp(-sqrt(d2 / g)) ("laplacian"; here the roots double).
    "energy" is the single -sqrt(d2 / g), which makes the MMD the energy distance over sqrt(g).

    Args:
        squared: float32 of any shape, at least 0.
        bandwidth: float32 scalar, above 0; taken as a constant. Infinity makes the kernel
            constant, and with it every discrepancy 0.
        kernel: "gaussian", "laplacian" or "energy".
        kernels: int, at least 1.

    Returns:
        float32, shaped as `squared`.
    """
    scaled = squared / tf.stop_gradient(bandwidth)
    if kernel == "gaussian":
        return _mean_of_exponentials(scaled, kernels)
    roots = _root(scaled)
    return -roots if kernel == "energy" else _mean_of_exponentials(roots, kernels)


def _mean_of_exponentials(exponents: tf.Tensor, kernels: int) -> tf.Tensor:
    """One exponential, then squares; what the gradient needs is computed again, not kept."""

    @tf.custom_gradient
    def mean(t: tf.Tensor) -> tf.Tensor:
        return _sum(t, kernels, 0) / kernels, lambda up: -up * _sum(t, kernels, 1) / kernels

    return mean(exponents)


def _sum(exponents: tf.Tensor, kernels: int, power: int) -> tf.Tensor:
    """Sum of rate ** power * exp(-rate * t): of the kernels, or of their negative slopes."""
    rate = 2.0 ** (kernels // 2 - kernels + 1)
    value = tf.exp(-rate * exponents)
    total = rate**power * value
    for _ in range(kernels - 1):
        value, rate = value * value, 2 * rate
        total += rate**power * value
    return total


def _root(squared: tf.Tensor) -> tf.Tensor:
    """Its gradient is 0 instead of infinite between equal examples."""
    positive = squared > 0
    roots = tf.sqrt(tf.where(positive, squared, tf.ones_like(squared)))
    # Multiplied, so that NaN, which is not above 0, stays.
    return tf.where(positive, roots, 0 * squared)
