"""Squared maximum mean discrepancy (MMD) of two samples."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_transfer.adaptation.discrepancies.bandwidths import bandwidth_of
from keras_transfer.adaptation.discrepancies.distances import squared_distances_within
from keras_transfer.adaptation.discrepancies.kernels import KERNELS, kernel_values
from keras_transfer.adaptation.discrepancies.linear_time import linear_time_mmd
from keras_transfer.adaptation.discrepancies.pair_weights import all_pair_weights
from keras_transfer.adaptation.discrepancies.samples import (
    Samples,
    warn_of_too_few,
    weighted_samples,
)


def mmd(
    source: tf.Tensor,
    target: tf.Tensor,
    source_weights: tf.Tensor | None = None,
    target_weights: tf.Tensor | None = None,
    *,
    kernels: int = 5,
    bandwidth: float | str = "mean",
    estimator: str = "unbiased",
    kernel: str = "gaussian",
) -> tf.Tensor:
    """Squared MMD as a function; `kx.MaximumMeanDiscrepancy` describes it.

    Args:
        source: float `[n, d]`.
        target: float `[m, d]`, of the same dtype.
        source_weights: numbers `[n]`, at least 0; None for ones.
        target_weights: numbers `[m]`, at least 0; None for ones.
        kernels: int, at least 1.
        bandwidth: "mean", "median" or a float above 0.
        estimator: "unbiased", "biased" or "linear".
        kernel: "gaussian", "laplacian" or "energy".

    Returns:
        float32 scalar.

    Raises:
        ValueError: if an argument is none of these, or the samples do not fit together.
    """
    check_settings(kernels, bandwidth, estimator, kernel)
    samples = weighted_samples(source, target, source_weights, target_weights)
    g = bandwidth_of(samples, bandwidth)
    return mmd_of_samples(samples, g, estimator=estimator, kernel=kernel, kernels=kernels)


def mmd_of_samples(
    samples: Samples, bandwidth: tf.Tensor, *, estimator: str, kernel: str, kernels: int
) -> tf.Tensor:
    """Squared MMD for a bandwidth that is known.

    Args:
        samples: of both domains.
        bandwidth: float32 scalar.
        estimator: "unbiased", "biased" or "linear".
        kernel: str, see `kernel_values`.
        kernels: int, see `kernel_values`.

    Returns:
        float32 scalar.
    """
    warn_of_too_few(samples, 1 if estimator == "biased" else 2)
    if estimator == "linear":
        return linear_time_mmd(samples, bandwidth, kernel=kernel, kernels=kernels)
    squared = squared_distances_within(samples.pooled)
    values = kernel_values(squared, bandwidth, kernel=kernel, kernels=kernels)
    weights = all_pair_weights(samples.source_weights, samples.target_weights, estimator)
    return tf.reduce_sum(weights * values)


def check_settings(
    kernels: int,
    bandwidth: float | str,
    estimator: str,
    kernel: str = "gaussian",
    estimators: tuple[str, ...] = ("unbiased", "biased", "linear"),
) -> None:
    """Refuses what is no setting of an MMD.

    Args:
        kernels: int, at least 1.
        bandwidth: "mean", "median" or a float above 0.
        estimator: one of `estimators`.
        kernel: "gaussian", "laplacian" or "energy".
        estimators: those that there are.

    Raises:
        ValueError: with the setting.
    """
    if not isinstance(kernels, int) or kernels < 1:
        raise ValueError(f"Expected `kernels` to be an int of at least 1. Received: {kernels!r}.")
    if bandwidth not in ("mean", "median") and not _is_positive(bandwidth):
        raise ValueError(
            "Expected `bandwidth` to be 'mean', 'median' or a finite number above 0. Received: "
            f"bandwidth={bandwidth!r}."
        )
    for name, value, known in (
        ("estimator", estimator, estimators),
        ("kernel", kernel, KERNELS),
    ):
        if value not in known:
            raise ValueError(f"Expected `{name}` to be one of {known}. Received: {value!r}.")


def _is_positive(number: Any) -> bool:
    return isinstance(number, (int, float)) and 0 < number < math.inf
