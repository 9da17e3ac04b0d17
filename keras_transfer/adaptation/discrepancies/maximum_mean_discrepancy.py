"""The maximum mean discrepancy as a layer, which may remember its bandwidth."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_transfer.adaptation.discrepancies.bandwidths import (
    bandwidth_of,
    warn_of_constant_features,
)
from keras_transfer.adaptation.discrepancies.mmd import check_settings, mmd_of_samples
from keras_transfer.adaptation.discrepancies.samples import Samples, weighted_samples


@keras.saving.register_keras_serializable("keras_transfer")
class MaximumMeanDiscrepancy(keras.layers.Layer):
    """Squared maximum mean discrepancy (MMD) of the features of two domains.

    How far the mean kernel within the domains exceeds that between them: 0 where both have the
    same distribution. A term of the loss for `kx.DomainAdaptation`, or called on two tensors.

    The kernel is the mean (not the sum) of `kernels` Gaussians exp(-||x - y||^2 / g) whose
    bandwidths g double from one to the next around `bandwidth`; with one of them, g is
    `bandwidth` itself.

    The unbiased estimate, a U-statistic without the pairs of an example with itself, has a mean
    of 0 over batches of equal distributions, so that single ones are **negative**, which is as it
    should be. The biased one, a V-statistic with these pairs, is at least 0 and grows by about
    2/n times one minus the mean kernel; small batches pull features together by it. The linear
    one takes disjoint pairs, in O((n + m) d) and with much noise. All take domains of unequal
    numbers and weights. A batch takes O((n + m)^2) memory whatever `kernels` and the width.

    It computes in float32 under any policy, and takes no gradient of the bandwidth or the weights'
    sums. What has no value has a defined result: with fewer than two examples in a domain (one,
    for the biased estimate; those of weight 0 do not count) it is 0 without gradient, with a
    warning where the number is known beforehand; so it is where all features are equal but for
    rounding, with a warning. NaN in a feature or weight gives NaN.

    The warning is printed in graphs, which XLA can not compile, so that Keras trains without XLA.
    Set `layer.supports_jit = True` to train with XLA and without the warning.

    Reference: Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, for the estimators; Long et
    al., "Learning Transferable Features with Deep Adaptation Networks", ICML 2015, for several
    kernels in a network's loss.

    Args:
        kernels: int, at least 1. Without effect for the "energy" kernel. Defaults to 5:
            bandwidths of 1/4, 1/2, 1, 2 and 4 times `bandwidth`.
        bandwidth: "mean" or "median" of the squared distances of all pairs of different examples
            of a batch, whatever their domain; or a float above 0. The mean counts weights, the
            median takes at most 1,000 examples, those of weight above 0. Defaults to "mean".
        estimator: "unbiased", "biased" or "linear". Defaults to "unbiased".
        kernel: "gaussian"; "laplacian", exp(-||x - y|| / sqrt(g)); or "energy",
            -||x - y|| / sqrt(g), with which it is the energy distance over the root of
            `bandwidth`. Defaults to "gaussian".
        momentum: float of at least 0, below 1, to take a moving average of the batches' bandwidths
            instead, `momentum` times the last one plus the rest times the batch's; it moves in
            training, is a weight of the layer and saved. None for each batch's own. Defaults to
            None.
        name: str or None, as of every layer.

    Call arguments:
        source: float tensor `[n, d]`.
        target: float tensor `[m, d]` of the same dtype.
        source_weights: numbers or bools `[n]`, at least 0; None for ones. 0 is padding: what
            stands in such a row has no effect.
        target_weights: the same for the target, `[m]`.
        training: bool, whether the moving average moves. As of every layer: that of the layer or
            model from which it is called, else False.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: if an argument is out of range, or the features are no two matrices of one
            width and one float dtype.

    Example:

    >>> import keras
    >>> import keras_transfer as kx
    >>> source = keras.random.normal([64, 8], seed=1)
    >>> same, other = keras.random.normal([48, 8], seed=2), keras.random.normal([48, 8], 1, seed=3)
    >>> mmd = kx.MaximumMeanDiscrepancy()
    >>> bool(abs(mmd(source, same)) < 0.01), bool(mmd(source, other) > 0.1)
    (True, True)
    """

    default_weight: ClassVar[float] = 10.0

    def __init__(
        self,
        kernels: int = 5,
        bandwidth: float | str = "mean",
        estimator: str = "unbiased",
        *,
        kernel: str = "gaussian",
        momentum: float | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, dtype="float32", autocast=False)
        check_settings(kernels, bandwidth, estimator, kernel)
        _check_momentum(momentum, bandwidth)
        self.kernels = kernels
        self.bandwidth = bandwidth
        self.estimator = estimator
        self.kernel = kernel
        self.momentum = momentum
        self.supports_jit = False  # as `tf.print` has no place in XLA
        if momentum is not None:
            # 0 as long as there has been no batch. Replicas that saw other batches agree on it.
            self.moving_bandwidth = self.add_weight(
                initializer="zeros", trainable=False, aggregation="mean", name="moving_bandwidth"
            )
        self.built = True

    def call(
        self,
        source: tf.Tensor,
        target: tf.Tensor,
        source_weights: tf.Tensor | None = None,
        target_weights: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """The discrepancy, a float32 scalar; the class has the arguments."""
        samples = weighted_samples(source, target, source_weights, target_weights)
        bandwidth = self._bandwidth(samples, training)
        warn_of_constant_features(bandwidth, self.name, not self.supports_jit)
        return mmd_of_samples(
            samples,
            bandwidth,
            estimator=self.estimator,
            kernel=self.kernel,
            kernels=self.kernels,
        )

    def _bandwidth(self, samples: Samples, training: bool) -> tf.Tensor:
        batch = bandwidth_of(samples, self.bandwidth)
        if self.momentum is None:
            return batch
        past = tf.convert_to_tensor(self.moving_bandwidth)
        if training:
            past = _moved(past, batch, self.momentum)
            self.moving_bandwidth.assign(past)
        return tf.where(past > 0, past, batch)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "kernels": self.kernels,
            "bandwidth": self.bandwidth,
            "estimator": self.estimator,
            "kernel": self.kernel,
            "momentum": self.momentum,
            "name": self.name,
        }


def _moved(past: tf.Tensor, batch: tf.Tensor, momentum: float) -> tf.Tensor:
    """A batch of equal or NaN features leaves no trace."""
    moved = tf.where(past > 0, momentum * past + (1 - momentum) * batch, batch)
    return tf.where(tf.math.is_finite(batch), moved, past)


def _check_momentum(momentum: float | None, bandwidth: float | str) -> None:
    if momentum is not None and not (0 <= momentum < 1 and isinstance(bandwidth, str)):
        raise ValueError(
            "Expected `momentum` of at least 0 and below 1, and with it a `bandwidth` of 'mean' or "
            f"'median', as numbers do not move. Received: momentum={momentum}, "
            f"bandwidth={bandwidth!r}."
        )
