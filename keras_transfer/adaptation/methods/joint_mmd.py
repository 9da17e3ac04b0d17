"""Joint adaptation networks: the joint MMD of features and predictions."""

from __future__ import annotations

from typing import ClassVar

import keras
import tensorflow as tf

from keras_transfer.adaptation.discrepancies.bandwidths import warn_of_constant_features
from keras_transfer.adaptation.discrepancies.joint_mmd import joint_mmd
from keras_transfer.adaptation.discrepancies.samples import weighted_samples
from keras_transfer.adaptation.methods.kernel_method import KernelMethod
from keras_transfer.adaptation.methods.method import DomainBatch


@keras.saving.register_keras_serializable("keras_transfer")
class JointMMD(KernelMethod):
    """Brings the joint distribution of features and predicted classes together (JAN).

    The squared maximum mean discrepancy of a kernel that is the product of those of the compared
    layers' features and of the probabilities of the classes: two pictures are alike if they are
    so in every layer. Against `kx.MaximumMeanDiscrepancy`, features of one class are less drawn
    to those of another. Probabilities are taken for both domains, with their gradient. A layer
    whose values are all equal, such as the predictions of an output layer of zeros, counts for
    nothing.

    Estimators, weights, unequal numbers, precision, warnings, XLA and the results of what has no
    value are as for `kx.MaximumMeanDiscrepancy`, which see.

    Reference: Long et al., "Deep Transfer Learning with Joint Adaptation Networks", ICML 2017.
    There one Gaussian of a fixed bandwidth on the probabilities, and the linear-time estimate.

    Args:
        kernels: int, at least 1, of each layer. Defaults to 5.
        bandwidth: "mean" or "median", of each layer and batch; or a float above 0 for all layers.
            Defaults to "mean".
        estimator: "unbiased" or "biased". Defaults to "unbiased".
        name: str or None, as of every layer.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> method = kx.JointMMD(kernels=3, estimator="biased")
    >>> kx.JointMMD.from_config(method.get_config()).kernels
    3
    """

    default_weight: ClassVar[float] = 10.0

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The joint MMD, a float32 scalar.

        Args:
            source: features, logits and weights are taken.
            target: features, logits and weights are taken.
        """
        layers = [
            weighted_samples(a, b, source.weights, target.weights)
            for a, b in zip(_values(source), _values(target), strict=True)
        ]
        discrepancy, bandwidths = joint_mmd(
            layers,
            kernels=self.kernels,
            bandwidth=self.bandwidth,
            estimator=self.estimator,
        )
        warn_of_constant_features(bandwidths, self.name, not self.supports_jit)
        return discrepancy


def _values(batch: DomainBatch) -> list[tf.Tensor]:
    return [*batch.features, tf.nn.softmax(batch.logits)]
