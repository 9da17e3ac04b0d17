"""DANN: features from which a discriminator cannot tell the domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_transfer.adaptation.methods.discriminator import Discriminator, domain_cross_entropy
from keras_transfer.adaptation.methods.gradient_reversal import gradient_reversal
from keras_transfer.adaptation.methods.method import DomainBatch, Method


class DomainAdversarial(Method):
    """Domain-adversarial training (DANN).

    A discriminator learns to tell source from target by the deepest compared features, which
    learn the opposite by a reversed gradient. The term is the discriminator's cross-entropy, each
    domain half of it: log 2 = .693 if it can only guess. It sees features alone, and so may match
    one class with another; `kx.ConditionalAdversarial` sees predictions too.

    The reversed gradient is as strong as the term's weight, which `kx.DomainAdaptation`
    schedules; unlike in the paper, that weight scales the discriminator's own gradient too, which
    makes next to no difference to Adam. The discriminator belongs to training alone.

    Reference: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016.

    Args:
        hidden: widths of the discriminator's hidden layers. Defaults to the paper's (1024, 1024).
        dropout: float, at least 0 and below 1, behind each hidden layer. Defaults to 0.0.
        name: str, as for every Keras layer.

    Raises:
        ValueError: if a number is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> kx.DomainAdversarial(hidden=[64], dropout=0.5).get_config()
    {'hidden': [64], 'dropout': 0.5, 'name': 'domain_adversarial'}
    """

    def __init__(
        self,
        hidden: Sequence[int] = (1024, 1024),
        *,
        dropout: float = 0.0,
        name: str = "domain_adversarial",
    ):
        super().__init__(name=name)
        self.hidden = hidden
        self.dropout = dropout
        self.discriminator = Discriminator(hidden, dropout)

    def prepare(self, widths: Sequence[int], num_classes: int, inputs: Any) -> None:
        """Builds the discriminator."""
        self.discriminator.build((None, widths[-1]))

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The discriminator's cross-entropy, of reversed gradient for the features."""
        source_logits, target_logits = (
            self.discriminator(gradient_reversal(batch.features[-1]), training=batch.training)
            for batch in (source, target)
        )
        return domain_cross_entropy(source_logits, target_logits, source.weights, target.weights)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "hidden": list(self.hidden),
            "dropout": self.dropout,
            **super().get_config(),
        }
