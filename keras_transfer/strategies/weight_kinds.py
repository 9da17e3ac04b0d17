"""Which kinds of weights move: those of normalization, or biases."""

from __future__ import annotations

from typing import Any

import keras

from keras_transfer.models.backbone_and_head import split_off_head
from keras_transfer.models.blocks import flatten, is_normalization
from keras_transfer.strategies.strategy import (
    Strategy,
    check_stage,
    freeze_batch_norm,
    unfreeze,
)


@keras.saving.register_keras_serializable("keras_transfer")
class NormalizationTuning(Strategy):
    """Trains the head and the normalization layers of the backbone, nothing else.

    About one weight in a hundred adapts to pictures whose colors and contrasts differ from those
    of the pretraining. BatchNorm layers are trained as Keras trains them: by statistics of the
    batch, its moving averages following, so batches should not be small.

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
        _freeze_own(model)
        kept = {id(w) for x in layers if is_normalization(x) for w in x.trainable_variables}
        for layer in layers:
            _keep(layer, kept)
        if not kept:
            raise ValueError(
                "Expected a backbone with normalization layers. Received: model "
                f"{model.name!r}, whose backbone has none."
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: none."""
        return {}


@keras.saving.register_keras_serializable("keras_transfer")
class BiasTuning(Strategy):
    """Trains the head and the biases of the backbone, nothing else.

    For backbones whose layers have biases, such as transformers and ConvNeXt. Convolutional
    networks with BatchNorm, EfficientNet-Lite among them, have none beside its shifts, which
    `kx.NormalizationTuning` trains; here BatchNorm stays frozen.

    A layer whose bias alone is trained is marked weight by weight. A `.keras` file keeps the flags
    of whole layers: apply the strategy again to a model that was loaded.

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
        _freeze_own(model)
        for layer in layers:
            freeze_batch_norm(layer)
        weights = [weight for layer in layers for weight in layer.trainable_variables]
        kept = {id(weight) for weight in weights if weight.name in ("bias", "beta")}
        for layer in layers:
            _keep(layer, kept)
        if not any(layer.trainable_variables for layer in layers):
            raise ValueError(
                "Expected a backbone whose layers have biases; kx.NormalizationTuning trains "
                f"the shifts of BatchNorm. Received: model {model.name!r} without biases in its "
                "backbone."
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: none."""
        return {}


def _keep(layer: keras.layers.Layer, kept: set[int]) -> None:
    """Freezes the other weights; the whole layer if it has no such weight, as files keep that."""
    weights = layer.trainable_variables
    if not any(id(weight) in kept for weight in weights):
        layer.trainable = False
    for weight in weights:
        weight.trainable = id(weight) in kept


def _freeze_own(model: keras.Model) -> None:
    """Freezes what belongs to the backbone itself, such as a class token."""
    for weight in (weight for block in split_off_head(model)[0] for weight in block.own):
        weight.trainable = False


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers of the backbone, those inside others included."""
    blocks, _ = split_off_head(model)
    return [inner for block in blocks for layer in block.layers for inner in flatten(layer)]
