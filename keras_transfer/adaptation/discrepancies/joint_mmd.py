"""Joint MMD: of the joint distribution of several layers."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from keras_transfer.adaptation.discrepancies.bandwidths import bandwidth_of
from keras_transfer.adaptation.discrepancies.distances import squared_distances_within
from keras_transfer.adaptation.discrepancies.kernels import kernel_values
from keras_transfer.adaptation.discrepancies.pair_weights import all_pair_weights
from keras_transfer.adaptation.discrepancies.samples import Samples, warn_of_too_few


def joint_mmd(
    layers: Sequence[Samples],
    *,
    kernels: int = 5,
    bandwidth: float | str = "mean",
    estimator: str = "unbiased",
) -> tuple[tf.Tensor, tf.Tensor]:
    """Squared MMD whose kernel is the product of those of each layer's values.

    A layer whose values are all equal has a kernel of 1, and counts for nothing.

    Args:
        layers: samples of the same examples, with the same weights.
        kernels: int, at least 1, of each layer.
        bandwidth: "mean", "median", or a float above 0 for every layer.
        estimator: "unbiased" or "biased".

    Returns:
        float32 scalar, and the bandwidths of the layers, float32 `[layers]`.
    """
    warn_of_too_few(layers[0], 1 if estimator == "biased" else 2)
    bandwidths = [bandwidth_of(samples, bandwidth) for samples in layers]
    values = all_pair_weights(layers[0].source_weights, layers[0].target_weights, estimator)
    for samples, g in zip(layers, bandwidths, strict=True):
        values *= kernel_values(squared_distances_within(samples.pooled), g, kernels=kernels)
    return tf.reduce_sum(values), tf.stack(bandwidths)
