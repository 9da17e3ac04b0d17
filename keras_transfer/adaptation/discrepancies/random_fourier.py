"""The MMD by random Fourier features: moments instead of pairs."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from keras_transfer.adaptation.discrepancies.pair_weights import normalized, share_of_pairs
from keras_transfer.adaptation.discrepancies.samples import Samples


def random_frequencies(
    width: int, num_frequencies: int, kernels: int = 5, seed: int = 0
) -> np.ndarray:
    """Frequencies of the Gaussian kernels around a bandwidth of 1, each for its share of them.

    Args:
        width: int, of the features.
        num_frequencies: int, m.
        kernels: int, see `kernel_values`. Each frequency is that of a random one of them.
        seed: int.

    Returns:
        float32 `[width, num_frequencies]`, normal with a variance of 2 over the kernel's bandwidth.
    """
    random = np.random.default_rng(seed)
    powers = random.integers(kernels, size=num_frequencies) - kernels // 2
    deviations = np.sqrt(2 / 2.0**powers)
    return (random.normal(size=(width, num_frequencies)) * deviations).astype("float32")


def fourier_features(features: tf.Tensor, frequencies: tf.Tensor) -> tf.Tensor:
    """Vectors of length 1 whose inner products are the kernel, on average over frequencies.

    Cosine and sine of each frequency: a cosine with a random phase varies more.

    Reference: Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NeurIPS 2007;
    Sutherland and Schneider, "On the Error of Random Fourier Features", UAI 2015.

    Args:
        features: float32 `[n, d]`, over the root of the bandwidth.
        frequencies: float32 `[d, m]`.

    Returns:
        float32 `[n, 2 m]`.
    """
    angles = tf.matmul(features, frequencies)
    pairs = tf.concat([tf.cos(angles), tf.sin(angles)], axis=1)
    return pairs / tf.sqrt(tf.cast(tf.shape(frequencies)[1], tf.float32))


def fourier_mmd(
    samples: Samples, bandwidth: tf.Tensor, frequencies: tf.Tensor, estimator: str = "unbiased"
) -> tf.Tensor:
    """Squared MMD of the kernel that the frequencies stand for, in O((n + m) d) for each of them.

    Args:
        samples: of both domains.
        bandwidth: float32 scalar, taken as a constant.
        frequencies: float32 `[d, m]`.
        estimator: "unbiased" (of the kernel of these frequencies) or "biased".

    Returns:
        float32 scalar; 0 without gradient where a domain has not the examples for it.
    """
    scale = tf.sqrt(tf.stop_gradient(bandwidth))
    means, corrections, shares = [], [], []
    for features, weights in (
        (samples.source, samples.source_weights),
        (samples.target, samples.target_weights),
    ):
        mapped = fourier_features(features / scale, frequencies)
        mean = tf.reduce_sum(normalized(weights)[:, None] * mapped, axis=0)
        means.append(mean)
        shares.append(share_of_pairs(weights, estimator))
        # Of the pairs of an example with itself, whose kernel is 1; 0 for the biased estimate.
        corrections.append(
            tf.math.divide_no_nan(1 - shares[-1], shares[-1]) * (1 - tf.reduce_sum(tf.square(mean)))
        )
    difference = tf.reduce_sum(tf.square(means[0] - means[1]))
    defined = tf.cast(tf.reduce_all(tf.stack(shares) > 0), tf.float32)
    return defined * (difference - corrections[0] - corrections[1])


def fourier_error_bound(
    discrepancy: float, num_frequencies: int, probability: float = 0.99
) -> float:
    """How far the biased estimate by random frequencies is from the one by all pairs, at most.

    Bernstein's inequality: each frequency gives a number from 0 to 4 with the discrepancy as its
    mean, hence a variance of at most 4 times that. Holds for frequencies drawn independently of
    the samples, for one pair of samples; usually the error is a fraction of it.

    Args:
        discrepancy: float, at least 0, by all pairs.
        num_frequencies: int.
        probability: float between 0 and 1 with which it holds. Defaults to 0.99.

    Returns:
        float, sqrt(8 v ln(2 / q) / m) + 8 ln(2 / q) / (3 m) for a discrepancy v, m frequencies,
        and a probability of 1 - q.
    """
    logarithm = math.log(2 / (1 - probability))
    deviation = math.sqrt(8 * discrepancy * logarithm / num_frequencies)
    return deviation + 8 * logarithm / (3 * num_frequencies)
