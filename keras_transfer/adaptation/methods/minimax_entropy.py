"""MME: the classifier's weights go to meet the target, whose features gather around them."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from keras_transfer.adaptation.methods.entropy import entropy
from keras_transfer.adaptation.methods.gradient_reversal import gradient_reversal
from keras_transfer.adaptation.methods.method import DomainBatch, Method
from keras_transfer.adaptation.methods.weighted_mean import weighted_mean


class MinimaxEntropy(Method):
    """Minimax entropy (MME), for targets of which a few examples of each class have labels.

    The classifier's last layers learn to make the entropy of the target's predictions large, so
    that their weights, which stand for the classes, move towards the target; the features learn
    to make it small, and gather around them. The term is minus the mean entropy, with a reversed
    gradient between the deepest compared features and what comes after them. The few labels hold
    the classes in place: they are a part of `kx.DomainAdaptation`'s loss of the labels.

    Reference: Saito et al., "Semi-supervised Domain Adaptation via Minimax Entropy", ICCV 2019.

    Args:
        temperature: float above 0, by which the logits are divided here. Defaults to 1.0. The
            paper's 0.05 belongs to its classifier, whose logits are cosines.
        name: str, as for every Keras layer.

    Raises:
        ValueError: if `temperature` is not above 0.

    Example:

    >>> import keras_transfer as kx
    >>> kx.MinimaxEntropy(temperature=0.5).temperature
    0.5
    """

    default_weight: ClassVar[float] = 0.1

    def __init__(self, temperature: float = 1.0, *, name: str = "minimax_entropy"):
        if not temperature > 0:
            raise ValueError(
                f"Expected `temperature` above 0. Received: temperature={temperature}."
            )
        super().__init__(name=name)
        self.temperature = temperature

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """Minus the target's mean entropy, of reversed gradient for the features."""
        logits = target.classify(gradient_reversal(target.features[-1]))
        return -weighted_mean(entropy(logits / self.temperature), target.weights)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"temperature": self.temperature, **super().get_config()}
