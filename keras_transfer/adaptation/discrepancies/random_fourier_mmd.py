"""The MMD by random Fourier features as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_transfer.adaptation.discrepancies.bandwidths import (
    bandwidth_of,
    warn_of_constant_features,
)
from keras_transfer.adaptation.discrepancies.mmd import check_settings
from keras_transfer.adaptation.discrepancies.pair_weights import ESTIMATORS
from keras_transfer.adaptation.discrepancies.random_fourier import (
    fourier_error_bound,
    fourier_mmd,
    random_frequencies,
)
from keras_transfer.adaptation.discrepancies.samples import warn_of_too_few, weighted_samples


@keras.saving.register_keras_serializable("keras_transfer")
class RandomFourierMMD(keras.layers.Layer):
    """Squared maximum mean discrepancy by random Fourier features: linear in the examples.

    What `kx.MaximumMeanDiscrepancy` gives for Gaussian kernels, up to an error of about one over
    the root of `num_frequencies`, see `error_bound`. It takes the means of 2 * `num_frequencies`
    features instead of all pairs: O((n + m) * num_frequencies) memory. That pays for batches of
    more examples than frequencies; for others `kx.MaximumMeanDiscrepancy` is exact and cheaper.

    The frequencies are drawn once, from the seed, for a bandwidth of 1, and saved with the layer.
    "unbiased" leaves out the pairs of an example with itself; given the frequencies it is without
    bias, and may be negative. float32, unequal numbers, weights, warnings, XLA and the results of
    what has no value are as for `kx.MaximumMeanDiscrepancy`.

    Reference: Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NeurIPS 2007;
    in pairs of cosine and sine: Sutherland and Schneider, "On the Error of Random Fourier
    Features", UAI 2015.

    Args:
        num_frequencies: int, at least 1. Defaults to 1024.
        kernels: int, at least 1, whose bandwidths double from one to the next. Defaults to 5.
        bandwidth: "mean", "median" or a float above 0. Defaults to "mean".
        estimator: "unbiased" or "biased". Defaults to "unbiased".
        seed: int, of the frequencies. Defaults to 0.
        name: str or None, as of every layer.

    Call arguments:
        source: float tensor `[n, d]`.
        target: float tensor `[m, d]` of the same dtype.
        source_weights: numbers or bools `[n]`, at least 0; None for ones. 0 is padding.
        target_weights: the same for the target, `[m]`.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: if an argument is out of range, or the features are no two matrices of one
            width and one float dtype.

    Example:

    >>> import keras
    >>> import keras_transfer as kx
    >>> source, target = keras.random.normal([90, 8], seed=1), keras.random.normal([70, 8], 1)
    >>> exact = kx.MaximumMeanDiscrepancy(estimator="biased")(source, target)
    >>> layer = kx.RandomFourierMMD(2048, estimator="biased")
    >>> bool(abs(layer(source, target) - exact) < layer.error_bound(exact))
    True
    """

    default_weight: ClassVar[float] = 10.0

    def __init__(
        self,
        num_frequencies: int = 1024,
        kernels: int = 5,
        bandwidth: float | str = "mean",
        estimator: str = "unbiased",
        *,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(name=name, dtype="float32", autocast=False)
        check_settings(kernels, bandwidth, estimator, estimators=ESTIMATORS)
        if not isinstance(num_frequencies, int) or num_frequencies < 1:
            raise ValueError(
                f"Expected `num_frequencies` of at least 1. Received: {num_frequencies!r}."
            )
        self.num_frequencies = num_frequencies
        self.kernels = kernels
        self.bandwidth = bandwidth
        self.estimator = estimator
        self.seed = seed
        self.supports_jit = False  # as `tf.print` has no place in XLA

    def build(self, source_shape: Sequence[int], *_: Any, **__: Any) -> None:
        """Draws the frequencies.

        Args:
            source_shape: `(n, d)`.
        """
        shape = (source_shape[-1], self.num_frequencies)
        values = random_frequencies(*shape, kernels=self.kernels, seed=self.seed)
        self.frequencies = self.add_weight(
            shape, lambda *_, **__: values, trainable=False, name="frequencies"
        )

    def call(
        self,
        source: tf.Tensor,
        target: tf.Tensor,
        source_weights: tf.Tensor | None = None,
        target_weights: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The discrepancy, a float32 scalar; the class has the arguments."""
        samples = weighted_samples(source, target, source_weights, target_weights)
        warn_of_too_few(samples, 1 if self.estimator == "biased" else 2)
        bandwidth = bandwidth_of(samples, self.bandwidth)
        warn_of_constant_features(bandwidth, self.name, not self.supports_jit)
        return fourier_mmd(
            samples, bandwidth, tf.convert_to_tensor(self.frequencies), self.estimator
        )

    def error_bound(self, discrepancy: float, probability: float = 0.99) -> float:
        """How far the biased estimate is from the one by all pairs, at most.

        Args:
            discrepancy: float, at least 0: the biased estimate by all pairs.
            probability: float between 0 and 1 with which it holds, over the seeds.

        Returns:
            float, by Bernstein's inequality.
        """
        return fourier_error_bound(float(discrepancy), self.num_frequencies, probability)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "num_frequencies": self.num_frequencies,
            "kernels": self.kernels,
            "bandwidth": self.bandwidth,
            "estimator": self.estimator,
            "seed": self.seed,
            "name": self.name,
        }
