"""Any discrepancy between two samples, as a method: summed over the layers compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        name: str, as for every Keras layer.
    """

    def __init__(self, discrepancy: Discrepancy, *, name: str = "feature_alignment"):
        super().__init__(name=name)
        self.discrepancy = discrepancy
        # As Keras asks the layers of a model.
        self.supports_jit = getattr(discrepancy, "supports_jit", True)
        self.of_layers: list[Discrepancy] = []

    def prepare(self, widths: Sequence[int], num_classes: int, inputs: Any) -> None:
        """Gives each compared layer its own discrepancy, where that has weights.

        They are of the layer, as a moving bandwidth is, or of its width.
        """
        found = [self.discrepancy]
        if isinstance(self.discrepancy, keras.layers.Layer):
            _build(self.discrepancy, widths[0])
            found += [_another(self.discrepancy, width) for width in widths[1:]]
        self.of_layers = found if len(found) > 1 else found * len(widths)

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The sum over layers."""
        options: dict[str, Any] = {}
        if isinstance(self.discrepancy, keras.layers.Layer):
            options["training"] = source.training
        pairs = zip(self.of_layers, source.features, target.features, strict=True)
        return tf.add_n(
            [between(x, y, source.weights, target.weights, **options) for between, x, y in pairs]
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        discrepancy = keras.saving.serialize_keras_object(self.discrepancy)
        return {"discrepancy": discrepancy, **super().get_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureAlignment:
        """Makes the method anew, with a discrepancy of new weights."""
        discrepancy = keras.saving.deserialize_keras_object(config["discrepancy"])
        return cls(**{**config, "discrepancy": discrepancy})


def _build(layer: keras.layers.Layer, width: int) -> None:
    if not layer.built:
        features = keras.KerasTensor((None, width), "float32")
        layer(features, features)


def _another(layer: keras.layers.Layer, width: int) -> keras.layers.Layer:
    """One like it with weights of its own; itself if it has none."""
    if not layer.variables:
        return layer
    made = type(layer).from_config(layer.get_config())
    made.supports_jit = layer.supports_jit
    _build(made, width)
    return made
