"""Deep subdomain adaptation networks: the MMD of each class."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_transfer.adaptation.discrepancies.bandwidths import (
    bandwidth_of,
    warn_of_constant_features,
)
from keras_transfer.adaptation.discrepancies.distances import squared_distances_within
from keras_transfer.adaptation.discrepancies.kernels import kernel_values
from keras_transfer.adaptation.discrepancies.local_mmd import class_pair_weights
from keras_transfer.adaptation.discrepancies.samples import weighted_samples
from keras_transfer.adaptation.methods.kernel_method import KernelMethod
from keras_transfer.adaptation.methods.method import DomainBatch


@keras.saving.register_keras_serializable("keras_transfer")
class LocalMMD(KernelMethod):
    """Brings the features of each class together (LMMD, as in DSAN).

    The mean over classes of the squared maximum mean discrepancies within them, summed over the
    compared layers. Source examples belong to the classes of their labels; target examples to
    each class by the probability that the model gives it, without gradient. A class counts in a
    batch if both domains have an example of it (for the target: one for which it is the
    most probable), and the source at least two for the unbiased estimate: batches should hold
    several examples a class, and with many classes "biased" uses more of them. Without any such
    class it is 0 without gradient.

    Precision, weights, unequal numbers, negative values, warnings and XLA are as for
    `kx.MaximumMeanDiscrepancy`, which see. The bandwidth is that of all examples, whatever their
    class.

    Reference: Zhu et al., "Deep Subdomain Adaptation Network for Image Classification", IEEE
    Transactions on Neural Networks and Learning Systems, 2021. There the biased estimate.

    Args:
        kernels: int, at least 1. Defaults to 5.
        bandwidth: "mean" or "median", of each layer and batch; or a float above 0 for all layers.
            Defaults to "mean".
        estimator: "unbiased" or "biased". Defaults to "unbiased".
        name: str or None, as of every layer.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> method = kx.LocalMMD(estimator="biased")
    >>> kx.LocalMMD.from_config(method.get_config()).estimator
    'biased'
    """

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The local MMD, a float32 scalar.

        Args:
            source: features, labels and weights are taken.
            target: features, logits and weights are taken.
        """
        probabilities = tf.stop_gradient(tf.nn.softmax(target.logits))
        pairs = class_pair_weights(
            source.labels * source.weights[:, None],
            probabilities * target.weights[:, None],
            self.estimator,
        )
        return tf.add_n(
            [
                self._of_layer(a, b, source.weights, target.weights, pairs)
                for a, b in zip(source.features, target.features, strict=True)
            ]
        )

    def _of_layer(
        self,
        source: tf.Tensor,
        target: tf.Tensor,
        source_weights: tf.Tensor,
        target_weights: tf.Tensor,
        pairs: tf.Tensor,
    ) -> tf.Tensor:
        samples = weighted_samples(source, target, source_weights, target_weights)
        bandwidth = bandwidth_of(samples, self.bandwidth)
        warn_of_constant_features(bandwidth, self.name, not self.supports_jit)
        squared = squared_distances_within(samples.pooled)
        return tf.reduce_sum(pairs * kernel_values(squared, bandwidth, kernels=self.kernels))
