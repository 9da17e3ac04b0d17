"""MCC: predictions on the target that do not waver between the same classes."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from keras_transfer.adaptation.methods.entropy import entropy
from keras_transfer.adaptation.methods.method import DomainBatch, Method

# The mean probability below which a class counts less and less; keeps squares of it in float32.
_RARE = 1e-7


def class_confusion(logits: tf.Tensor, weights: tf.Tensor, temperature: float = 2.5) -> tf.Tensor:
    """How likely the predictions for a class go to another one, the mean over classes.

    With p the softmax of `logits / temperature` and certain predictions counting more, the
    confusion matrix is `p' diag(w (1 + exp(-entropy))) p`, each row divided by its sum; the result
    is the sum off its diagonal over the number of classes. A class that no example has any
    probability for adds 0.

    Args:
        logits: float tensor `[n, classes]`.
        weights: `[n]`, at least 0.
        temperature: above 0.

    Returns:
        A scalar from 0 to 1.
    """
    scaled = logits / temperature
    probabilities = tf.nn.softmax(scaled)
    counts = weights * tf.stop_gradient(1 + tf.exp(-entropy(scaled)))
    shares = tf.math.divide_no_nan(counts, tf.reduce_sum(counts))
    confusion = tf.matmul(probabilities * shares[:, tf.newaxis], probabilities, transpose_a=True)
    rows = tf.reduce_sum(confusion, axis=1, keepdims=True)
    between = tf.linalg.set_diag(confusion, tf.zeros_like(confusion[0]))
    return tf.reduce_sum(between / (rows + _RARE)) / logits.shape[-1]


class MinimumClassConfusion(Method):
    """Minimum class confusion (MCC) on the target; compares no features.

    Keeps predictions from being torn between the same classes again and again. Takes nothing of
    the source beside the loss of its labels, no weights of its own, and little time; a good first
    choice, also where some classes are missing in the target. Batches of at least as many
    examples as classes serve it best.

    Reference: Jin, Wang, Long and Wang, "Minimum Class Confusion for Versatile Domain Adaptation",
    ECCV 2020.

    Args:
        temperature: float above 0, by which the logits are divided. The paper's 2.5 by default.
        name: str, as for every Keras layer.

    Raises:
        ValueError: if `temperature` is not above 0.

    Example:

    >>> import keras_transfer as kx
    >>> kx.MinimumClassConfusion().temperature
    2.5
    """

    default_weight: ClassVar[float] = 0.1

    def __init__(self, temperature: float = 2.5, *, name: str = "minimum_class_confusion"):
        if not temperature > 0:
            raise ValueError(
                f"Expected `temperature` above 0. Received: temperature={temperature}."
            )
        super().__init__(name=name)
        self.temperature = temperature

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The target's class confusion."""
        return class_confusion(target.logits, target.weights, self.temperature)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"temperature": self.temperature, **super().get_config()}
