"""CDAN: features and predictions from which a discriminator cannot tell the domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.adaptation.methods.discriminator import Discriminator, domain_cross_entropy
from keras_transfer.adaptation.methods.entropy import entropy
from keras_transfer.adaptation.methods.gradient_reversal import gradient_reversal
from keras_transfer.adaptation.methods.method import DomainBatch, Method
from keras_transfer.adaptation.methods.multilinear_map import (
    multilinear_map,
    random_multilinear_map,
)


def certainty_weights(logits: tf.Tensor) -> tf.Tensor:
    """`1 + exp(-entropy)` of each prediction, from 1 to 2; constants for the gradient.

    Args:
        logits: float tensor `[n, classes]`.

    Returns:
        `[n]`.
    """
    return tf.stop_gradient(1 + tf.exp(-entropy(logits)))


class ConditionalAdversarial(Method):
    """Conditional domain-adversarial training (CDAN), with entropy conditioning (CDAN+E).

    As `kx.DomainAdversarial`, but the discriminator sees the deepest compared features times the
    class probabilities, all products of the two, so that classes are matched with themselves. With
    entropy conditioning, examples count by `1 + exp(-entropy)` of their prediction. As in the
    authors' code, neither these weights nor the probabilities pass a gradient on.

    Where there would be more than 4096 products, the discriminator sees `random_width` products
    of random projections instead; the random matrices are weights that are not trained.

    Reference: Long, Cao, Wang and Jordan, "Conditional Adversarial Domain Adaptation",
    NeurIPS 2018.

    Args:
        hidden: widths of the discriminator's hidden layers. Defaults to (1024, 1024).
        dropout: float, at least 0 and below 1, behind each hidden layer. Defaults to 0.0.
        entropy_conditioning: bool. Defaults to True, CDAN+E.
        random_width: int above 0. Defaults to 1024, as in the authors' code.
        name: str, as for every Keras layer.

    Raises:
        ValueError: if a number is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> kx.ConditionalAdversarial(hidden=[64]).entropy_conditioning
    True
    """

    _MOST_PRODUCTS = 4096  # from the paper

    def __init__(
        self,
        hidden: Sequence[int] = (1024, 1024),
        *,
        dropout: float = 0.0,
        entropy_conditioning: bool = True,
        random_width: int = 1024,
        name: str = "conditional_adversarial",
    ):
        if random_width < 1:
            raise ValueError(
                f"Expected `random_width` above 0. Received: random_width={random_width}."
            )
        super().__init__(name=name)
        self.hidden = hidden
        self.dropout = dropout
        self.entropy_conditioning = entropy_conditioning
        self.random_width = random_width
        self.discriminator = Discriminator(hidden, dropout)
        self.matrices: tuple[keras.Variable, ...] = ()

    def prepare(self, widths: Sequence[int], num_classes: int, inputs: Any) -> None:
        """Builds the discriminator and, if there are too many products, the random matrices."""
        products = widths[-1] * num_classes
        if products > self._MOST_PRODUCTS:
            normal = keras.initializers.RandomNormal(stddev=1.0)
            self.matrices = tuple(
                self.add_weight((rows, self.random_width), normal, trainable=False, name=name)
                for rows, name in ((widths[-1], "feature_matrix"), (num_classes, "class_matrix"))
            )
            products = self.random_width
        self.discriminator.build((None, products))

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The discriminator's cross-entropy, of reversed gradient for the features."""
        source_logits, target_logits = (self._domain_logits(batch) for batch in (source, target))
        source_weights, target_weights = (self._weights(batch) for batch in (source, target))
        return domain_cross_entropy(source_logits, target_logits, source_weights, target_weights)

    def _domain_logits(self, batch: DomainBatch) -> tf.Tensor:
        features = gradient_reversal(batch.features[-1])
        probabilities = tf.stop_gradient(tf.nn.softmax(batch.logits))
        if self.matrices:
            matrices = (tf.convert_to_tensor(matrix) for matrix in self.matrices)
            products = random_multilinear_map(features, probabilities, *matrices)
        else:
            products = multilinear_map(features, probabilities)
        return self.discriminator(products, training=batch.training)

    def _weights(self, batch: DomainBatch) -> tf.Tensor:
        if not self.entropy_conditioning:
            return batch.weights
        return batch.weights * certainty_weights(batch.logits)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "hidden": list(self.hidden),
            "dropout": self.dropout,
            "entropy_conditioning": self.entropy_conditioning,
            "random_width": self.random_width,
            **super().get_config(),
        }
