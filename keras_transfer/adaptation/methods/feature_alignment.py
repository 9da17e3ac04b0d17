"""Any discrepancy between two samples, as a method: summed over the layers compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.adaptation.methods.method import DomainBatch, Method

# Of two samples [n, d] and [m, d] and their weights [n] and [m].
Discrepancy = Callable[..., tf.Tensor]


class FeatureAlignment(Method):
    """Brings the features of both domains together, by how far a discrepancy says they are apart.

    Args:
        discrepancy: function of `(source, target, source_weights, target_weights)` that gives a
            scalar; or a layer called so, such as `kx.MaximumMeanDiscrepancy()`.
    """

    def __init__(self, discrepancy: Discrepancy):
        super().__init__()
        self.discrepancy = discrepancy
        # As Keras asks the layers of a model.
        self.supports_jit = getattr(discrepancy, "supports_jit", True)

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The sum over layers."""
        options: dict[str, Any] = {}
        if isinstance(self.discrepancy, keras.layers.Layer):
            options["training"] = source.training
        pairs = zip(source.features, target.features, strict=True)
        return tf.add_n(
            [self.discrepancy(x, y, source.weights, target.weights, **options) for x, y in pairs]
        )
