"""Which domain features are from: a small network, and its loss."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_transfer.adaptation.methods.weighted_mean import weighted_mean


def domain_cross_entropy(
    source_logits: tf.Tensor,
    target_logits: tf.Tensor,
    source_weights: tf.Tensor,
    target_weights: tf.Tensor,
) -> tf.Tensor:
    """Binary cross-entropy of telling source (1) from target (0).

    Each domain weighs half whatever the sizes of the batches, so that chance is log 2.

    Args:
        source_logits: float tensor `[n]`.
        target_logits: `[m]`.
        source_weights: `[n]`, at least 0.
        target_weights: `[m]`, at least 0.

    Returns:
        A scalar; a domain without weight adds 0.
    """
    of_source = weighted_mean(tf.nn.softplus(-source_logits), source_weights)
    of_target = weighted_mean(tf.nn.softplus(target_logits), target_weights)
    return (of_source + of_target) / 2


class Discriminator(keras.layers.Layer):
    """Dense layers with ReLU and dropout, then one logit: `[n, width]` to `[n]`, in float32.

    Args:
        hidden: widths of the layers, each above 0.
        dropout: float, at least 0 and below 1.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(self, hidden: Sequence[int], dropout: float = 0.0):
        if not all(width > 0 for width in hidden) or not 0 <= dropout < 1:
            raise ValueError(
                "Expected `hidden` to hold widths above 0, and `dropout` of at least 0 and below "
                f"1. Received: hidden={hidden}, dropout={dropout}."
            )
        super().__init__(dtype="float32", name="discriminator")
        steps = []
        for width in hidden:
            steps.append(keras.layers.Dense(width, activation="relu", dtype="float32"))
            steps.append(keras.layers.Dropout(dropout, dtype="float32"))
        self.steps = [*steps, keras.layers.Dense(1, dtype="float32", name="domain_logit")]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights."""
        for step in self.steps:
            step.build(input_shape)
            input_shape = step.compute_output_shape(input_shape)

    def call(self, features: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The logits of being from the source."""
        for step in self.steps:
            features = step(features, training=training)
        return tf.squeeze(features, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """One number an example."""
        return input_shape[:-1]
