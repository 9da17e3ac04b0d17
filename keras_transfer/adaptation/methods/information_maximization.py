"""Predictions on the target that are certain one by one and diverse as a whole."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from keras_transfer.adaptation.methods.entropy import entropy
from keras_transfer.adaptation.methods.method import DomainBatch, Method
from keras_transfer.adaptation.methods.weighted_mean import weighted_mean

# Below this mean probability the logarithm stays where it is: -69 instead of -infinity.
_LEAST = 1e-30


def marginal_entropy(logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The entropy of the mean prediction, in nats.

    Args:
        logits: float tensor `[n, classes]`.
        weights: `[n]`, at least 0.

    Returns:
        A scalar from 0 to log(classes); 0 where all weights are 0.
    """
    shares = tf.math.divide_no_nan(weights, tf.reduce_sum(weights))
    mean = tf.linalg.matvec(tf.nn.softmax(logits), shares, transpose_a=True)
    return -tf.reduce_sum(mean * tf.math.log(tf.maximum(mean, tf.cast(_LEAST, mean.dtype))))


class InformationMaximization(Method):
    """Information maximization on the target (the IM of SHOT); compares no features.

    The mean entropy of the predictions less `diversity` times the entropy of their mean, from
    -log(classes) to log(classes): each prediction becomes certain while all classes stay in use.
    That assumes a target in which the classes are about as frequent as each other; where they are
    not, lower `diversity`. With `diversity=0` it is entropy minimization, which also a model that
    sees one class everywhere fulfills.

    The mean prediction is that of the batch: batches of several examples a class.

    Reference: Liang, Hu and Feng, "Do We Really Need to Access the Source Data? Source Hypothesis
    Transfer for Unsupervised Domain Adaptation", ICML 2020. Without diversity: Grandvalet and
    Bengio, "Semi-supervised Learning by Entropy Minimization", NeurIPS 2004.

    Args:
        diversity: float, at least 0. Defaults to 1.0, the paper's.
        name: str, as for every Keras layer.

    Raises:
        ValueError: if `diversity` is below 0.

    Example:

    >>> import keras_transfer as kx
    >>> kx.InformationMaximization(diversity=0.5).diversity
    0.5
    """

    default_weight: ClassVar[float] = 0.1

    def __init__(self, diversity: float = 1.0, *, name: str = "information_maximization"):
        if not diversity >= 0:
            raise ValueError(
                f"Expected `diversity` of at least 0. Received: diversity={diversity}."
            )
        super().__init__(name=name)
        self.diversity = diversity

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The target's mean entropy less its marginal one."""
        certain = weighted_mean(entropy(target.logits), target.weights)
        return certain - self.diversity * marginal_entropy(target.logits, target.weights)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"diversity": self.diversity, **super().get_config()}
