"""Which kinds of weights move: those of normalization, or biases."""

from __future__ import annotations

from typing import Any

import keras

from keras_transfer.models.blocks import flatten, is_normalization, split_off_head
from keras_transfer.strategies.strategy import (
    Strategy,
    check_stage,
    freeze_batch_norm,
    unfreeze,
)


class NormalizationTuning(Strategy):
    """Trains the head and the normalization layers of the backbone, nothing else.

    A few thousand weights adapt to pictures whose colors and contrasts differ from those of the
    pretraining. BatchNorm layers are trained as Keras trains them: by statistics of the batch, its
    moving averages following, so batches should not be small.

    Reference: Frankle, Schwab and Morcos, "Training BatchNorm and Only BatchNorm: On the
    Expressive Power of Random Features in CNNs", ICLR 2021.

    Raises:
        ValueError: when applied, if the backbone has no normalization.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> kx.NormalizationTuning().apply(kx.Classifier(backbone, 2))
    >>> {weight.name for weight in backbone.trainable_weights} == {"gamma", "beta"}
    True
    """

    batch_norm = "trainable"
    default_learning_rate = 1e-3

    def apply(self, model: keras.Model, stage: int = 0) -> None:
        """Sets the `trainable` flag of every layer; see `Strategy`."""
        check_stage(self, stage)
        unfreeze(model)
        layers = _layers(model)
        kept = {id(w) for x in layers if is_normalization(x) for w in x.trainable_variables}
        for weight in [weight for layer in layers for weight in layer.trainable_variables]:
            weight.trainable = id(weight) in kept
        if not kept:
            raise ValueError(
                "Expected a backbone with normalization layers. Received: model "
                f"{model.name!r}, whose backbone has none."
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: none."""
        return {}


class BiasTuning(Strategy):
    """Trains the head and the biases of the backbone, nothing else.

    For backbones whose layers have biases, such as transformers; in convolutional networks with
    BatchNorm the shifts of that are the biases, and `kx.NormalizationTuning` trains them.
    BatchNorm stays frozen, as it is used here for inference alone.

    Reference: Ben Zaken, Ravfogel and Goldberg, "BitFit: Simple Parameter-efficient Fine-tuning
    for Transformer-based Masked Language-models", ACL 2022.

    Raises:
        ValueError: when applied, if the backbone has no biases.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone(
    ...     "applications://ConvNeXtTiny", input_shape=(32, 32, 3), weights=None
    ... )
    >>> kx.BiasTuning().apply(kx.Classifier(backbone, 2))
    >>> {weight.name for weight in backbone.trainable_weights} <= {"bias", "beta"}
    True
    """

    default_learning_rate = 1e-3

    def apply(self, model: keras.Model, stage: int = 0) -> None:
        """Sets the `trainable` flag of every layer and weight; see `Strategy`."""
        check_stage(self, stage)
        unfreeze(model)
        layers = _layers(model)
        for layer in layers:
            freeze_batch_norm(layer)
        for weight in [weight for layer in layers for weight in layer.trainable_variables]:
            weight.trainable = weight.name in ("bias", "beta")
        if not any(layer.trainable_variables for layer in layers):
            raise ValueError(
                "Expected a backbone whose layers have biases; kx.NormalizationTuning trains "
                f"the shifts of BatchNorm. Received: model {model.name!r} without biases in its "
                "backbone."
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: none."""
        return {}


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers of the backbone, those inside others included."""
    blocks, _ = split_off_head(model)
    return [inner for block in blocks for layer in block.layers for inner in flatten(layer)]
