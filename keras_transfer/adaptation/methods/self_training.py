"""Learning from what the model is sure of on the target: pseudo-labels."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from keras_transfer.adaptation.methods.method import DomainBatch, Method
from keras_transfer.adaptation.methods.weighted_mean import weighted_mean


def confident(
    logits: tf.Tensor, weights: tf.Tensor, threshold: float, class_balanced: bool
) -> tf.Tensor:
    """Which examples the model is sure enough of.

    Args:
        logits: float tensor `[n, classes]`.
        weights: `[n]`; examples of weight 0 are no class's best.
        threshold: the probability of the likeliest class from which an example is chosen.
        class_balanced: whether it is times the highest probability of an example that goes to the
            same class; never below halfway from chance to `threshold`.

    Returns:
        `[n]` of 0 and 1, in the dtype of the logits.
    """
    probabilities = tf.nn.softmax(logits)
    confidence = tf.reduce_max(probabilities, axis=-1)
    needed = tf.fill(tf.shape(confidence), tf.cast(threshold, logits.dtype))
    if class_balanced:
        classes = logits.shape[-1]
        predicted = tf.one_hot(tf.argmax(logits, axis=-1), classes, dtype=logits.dtype)
        present = tf.cast(weights > 0, logits.dtype)
        best = tf.reduce_max(predicted * (confidence * present)[:, tf.newaxis], axis=0)
        needed *= tf.maximum(tf.linalg.matvec(predicted, best), (1 + 1 / (classes * threshold)) / 2)
    return tf.stop_gradient(tf.cast(confidence >= needed, logits.dtype))


def pseudo_labels(logits: tf.Tensor, temperature: float) -> tf.Tensor:
    """The model's own predictions, sharpened, as labels; constants for the gradient.

    Args:
        logits: float tensor `[n, classes]`.
        temperature: at least 0; 0 for one-hot labels.

    Returns:
        `[n, classes]`, rows of sum 1.
    """
    if temperature == 0:
        return tf.one_hot(tf.argmax(logits, axis=-1), logits.shape[-1], dtype=logits.dtype)
    return tf.stop_gradient(tf.nn.softmax(logits / temperature))


class SelfTraining(Method):
    """Self-training: cross-entropy of the target's predictions to its confident pseudo-labels.

    An example is chosen if its likeliest class has at least `threshold`. With `class_balanced` it
    is compared with the surest example of the batch that goes to the same class instead: it needs
    `threshold` times that one's probability, and at least what is halfway from chance (1 over the
    number of classes) to `threshold`. So easy classes do not crowd out the others. The loss is the
    mean over all examples, those not chosen adding 0.

    Pseudo-labels are no better than the model: begin from one that has learned the source, or let
    the weight of the term grow, as `kx.DomainAdaptation` does by default.

    Reference: Lee, "Pseudo-Label", ICML Workshop 2013. Confidence relative to the class: Zou et
    al., "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced
    Self-Training", ECCV 2018, there over the data set. Thresholds of a class: Zhang et al.,
    "FlexMatch", NeurIPS 2021. Sharpened labels: Xie et al., "Unsupervised Data Augmentation for
    Consistency Training", NeurIPS 2020.

    Args:
        threshold: float above 0, at most 1. Defaults to 0.9.
        temperature: float, at least 0 and below 1. 0, the default, makes the likeliest class the
            label; above, the label is the softmax of the logits over it. At 1 there would be
            nothing to learn.
        class_balanced: bool. Defaults to True.
        name: str, as for every Keras layer.

    Raises:
        ValueError: if a number is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> kx.SelfTraining(threshold=0.8, class_balanced=False).threshold
    0.8
    """

    default_weight: ClassVar[float] = 0.3

    def __init__(
        self,
        threshold: float = 0.9,
        *,
        temperature: float = 0.0,
        class_balanced: bool = True,
        name: str = "self_training",
    ):
        if not (0 < threshold <= 1 and 0 <= temperature < 1):
            raise ValueError(
                "Expected `threshold` above 0 and at most 1, and `temperature` of at least 0 and "
                f"below 1. Received: threshold={threshold}, temperature={temperature}."
            )
        super().__init__(name=name)
        self.threshold = threshold
        self.temperature = temperature
        self.class_balanced = class_balanced

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The mean cross-entropy, 0 for examples that are not chosen."""
        logits, weights = target.logits, target.weights
        labels = pseudo_labels(logits, self.temperature)
        losses = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
        chosen = confident(logits, weights, self.threshold, self.class_balanced)
        return weighted_mean(chosen * losses, weights)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "threshold": self.threshold,
            "temperature": self.temperature,
            "class_balanced": self.class_balanced,
            **super().get_config(),
        }
