"""A model in float32 on one device, whatever it was trained in and on."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_transfer.models.blocks import flatten
from keras_transfer.models.copying import Copying
from keras_transfer.models.dtype_policy import dtype_policy
from keras_transfer.models.notes import copy_notes

_FLOAT32 = "float32"
_HALF = {"float16", "bfloat16", "mixed_float16", "mixed_bfloat16"}


def in_float32(model: keras.Model) -> keras.Model:
    """The model itself where it is in float32 on one device, else a copy that is.

    The weights are those of the model, which mixed precision keeps in float32.

    Args:
        model: keras.Model, functional or sequential where a copy has to be made.

    Raises:
        ValueError: if it is called inside `strategy.scope()`, where weights go on all devices.
    """
    if tf.distribute.has_strategy():
        raise ValueError(
            "Expected a call outside of `strategy.scope()`, for a model on one device. "
            f"Received: {tf.distribute.get_strategy()}."
        )
    if not any(_is_half(layer) for layer in flatten(model)) and not _is_distributed(model):
        return model
    with dtype_policy(_FLOAT32):
        copy = Copying(lambda layer: layer, keep_weights=True, config=_float32_config).copied(model)
    return copy_notes(model, copy)


def _is_half(layer: keras.layers.Layer) -> bool:
    return bool({layer.compute_dtype, layer.variable_dtype} & _HALF)


def _is_distributed(model: keras.Model) -> bool:
    values = (variable.value for variable in model.variables)
    return any(isinstance(value, tf.distribute.DistributedValues) for value in values)


def _float32_config(config: Any) -> Any:
    """A layer's config, and those of layers inside it, with float32 for half precision."""
    if isinstance(config, list | tuple):
        return [_float32_config(item) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy" and config["config"]["name"] in _HALF:
        return _FLOAT32
    return {
        key: _FLOAT32
        if key == "dtype" and isinstance(value, str) and value in _HALF
        else _float32_config(value)
        for key, value in config.items()
    }
