"""KerasHub's presets as backbones, for pictures and for text."""

from __future__ import annotations

import os
import re
from typing import Any

import keras
import numpy as np

from keras_transfer.backbones.info import BackboneInfo

OPTIONS = ("dropout", "value_range")
# What KerasHub's backbones call the shares that they drop while training.
_DROPOUTS = ("dropout", "dropout_rate", "attention_dropout", "hidden_dropout")


def describe() -> list[BackboneInfo]:
    """None by name: `keras_hub.models.Backbone.presets` lists them."""
    return []


def load(
    name: str,
    input_shape: tuple[int | None, ...] | None,
    weights: Any,
    *,
    dropout: float = 0.0,
    value_range: tuple[float, float] | None = None,
) -> keras.Model:
    """Loads a preset of KerasHub, a name or a folder; see `kx.load_backbone`."""
    try:
        backbone = from_preset(name, input_shape, weights, dropout)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(
            "Expected a preset of KerasHub whose weights fit its config: a name of "
            "`keras_hub.models.Backbone.presets` that can be downloaded, or a folder that "
            f"`save_to_preset` has written. Received: {name}, where KerasHub says: {error}"
        ) from error
    return plain_model(backbone, name, name, value_range)


def from_preset(
    preset: str, input_shape: tuple[int | None, ...] | None, weights: Any, dropout: float
) -> keras.Model:
    """KerasHub's own model of a preset.

    Raises:
        ModuleNotFoundError: if KerasHub is not installed.
    """
    loaded = _keras_hub().models.Backbone.from_preset(preset, load_weights=weights is not None)
    settings: dict[str, Any] = dict.fromkeys(_DROPOUTS, dropout)
    if input_shape is not None:
        settings["image_shape"] = tuple(input_shape)
    backbone = _with_settings(loaded, settings)
    if weights not in (None, "pretrained"):
        backbone.load_weights(os.fspath(weights))
    return backbone


def plain_model(
    backbone: keras.Model,
    preset: str,
    name: str,
    value_range: tuple[float, float] | None = None,
) -> keras.Model:
    """A functional model on KerasHub's layers: of pixels from 0 to 255, or of ids and masks.

    Args:
        backbone: of KerasHub.
        preset: that it is from.
        name: as the user gave it.
        value_range: see `kx.load_backbone`; None for what the preset says.

    Raises:
        ValueError: if nobody knows which pixels it takes, or which of its outputs are features.
    """
    title = re.sub(r"\W+", "_", os.path.basename(name.rstrip("/"))).strip("_") or "backbone"
    if isinstance(backbone.input, dict) or len(backbone.inputs[0].shape) != 4:
        return keras.Model(backbone.input, _features(backbone, backbone.output), name=title)
    pixels = keras.Input(backbone.inputs[0].shape[1:], name="pixels", dtype="float32")
    scale, offset = _scaling(preset, value_range)
    x = pixels
    if np.any(np.not_equal(scale, 1)) or np.any(offset):
        x = keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")(pixels)
    # Called as a function, not as a layer: its layers become those of the model.
    return keras.Model(pixels, _features(backbone, backbone.call(x)), name=title)


def _with_settings(backbone: keras.Model, settings: dict[str, Any]) -> keras.Model:
    """The same with other settings, of those that its class has."""
    config = backbone.get_config()
    other = {key: value for key, value in settings.items() if config.get(key, value) != value}
    if not other:
        return backbone
    changed = type(backbone).from_config({**config, **other})
    changed.set_weights(backbone.get_weights())
    return changed


def _features(backbone: keras.Model, outputs: Any) -> keras.KerasTensor:
    """Of several outputs those of the whole sequence; heads pool them."""
    if isinstance(outputs, dict):
        outputs = outputs.get("sequence_output", outputs)
    if not isinstance(outputs, keras.KerasTensor):
        raise ValueError(
            "Expected a backbone that gives features, or a 'sequence_output'. "
            f"Received: {type(backbone).__name__} with {outputs}."
        )
    return outputs


def _scaling(preset: str, value_range: tuple[float, float] | None) -> tuple[Any, Any]:
    """What pixels are multiplied by, and what is added."""
    if value_range is not None:
        low, high = value_range
        return (high - low) / 255, low
    try:
        converter = _keras_hub().layers.ImageConverter.from_preset(preset)
    except (ValueError, OSError) as error:
        raise ValueError(
            "Expected a preset that says which pixels it takes, in its image converter: pass "
            f"`value_range`, such as (0, 1). Received: {preset} ({error})."
        ) from error
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return scale, offset


def _keras_hub() -> Any:
    try:
        import keras_hub
    except ImportError as error:
        raise ModuleNotFoundError(
            "Expected KerasHub, which loads such weights: pip install 'keras-transfer[text]'. "
            f"Received: {error}."
        ) from error
    return keras_hub
