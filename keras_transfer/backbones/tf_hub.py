"""TF Hub modules as backbones."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.backbones.hub_layer import HubLayer
from keras_transfer.backbones.info import BackboneInfo

OPTIONS = ("output_key", "value_range")
# What modules for pictures take by TF Hub's convention, and the size where any will do.
# https://www.tensorflow.org/hub/common_signatures/images
VALUE_RANGE = (0.0, 1.0)
_ANY_SIZE = 224


def describe() -> list[BackboneInfo]:
    """None by name: a handle is the module's place."""
    return []


def load(
    name: str,
    input_shape: tuple[int | None, ...] | None,
    weights: Any,
    *,
    output_key: str | None = None,
    value_range: tuple[float, float] = VALUE_RANGE,
) -> keras.Model:
    """Puts a module behind inputs of its own; see `kx.load_backbone`."""
    if weights is None:
        raise ValueError(
            "Expected `weights` to be 'pretrained' or the path of a weights file: a TF Hub module "
            f"has no random ones. Received: weights=None for {name}."
        )
    layer = HubLayer(name, output_key=output_key, name="module")
    takes = layer.takes
    if _is_pictures(takes):
        inputs = keras.Input(
            _picture_shape(takes, input_shape, name), name="pixels", dtype="float32"
        )
        given = _rescale(inputs, value_range)
    else:
        inputs = given = _inputs(takes, name)
    outputs = layer(given)
    if isinstance(outputs, dict):
        raise ValueError(
            "Expected `output_key`, as the module gives several outputs. "
            f"Received: {name}, output_key={output_key!r}, outputs={sorted(outputs)}."
        )
    model = keras.Model(inputs, outputs, name=_model_name(name))
    if weights != "pretrained":
        model.load_weights(os.fspath(weights))
    return model


def _is_pictures(takes: Any) -> bool:
    if not isinstance(takes, tf.TensorSpec) or not takes.dtype.is_floating:
        return False
    return takes.shape.rank == 4 and takes.shape[-1] == 3


def _picture_shape(
    takes: tf.TensorSpec, input_shape: tuple[int | None, ...] | None, name: str
) -> tuple[int | None, ...]:
    own = tuple(takes.shape[1:])
    wanted = tuple(input_shape) if input_shape else tuple(size or _ANY_SIZE for size in own)
    if any(size not in (None, given) for size, given in zip(own, wanted, strict=True)):
        raise ValueError(
            f"Expected `input_shape` to be what the module takes, {own}. "
            f"Received: input_shape={input_shape} for {name}."
        )
    return wanted


def _rescale(pixels: keras.KerasTensor, value_range: tuple[float, float]) -> keras.KerasTensor:
    low, high = value_range
    if not low < high:
        raise ValueError(
            "Expected `value_range` to be the least and the greatest value of a pixel. "
            f"Received: value_range={value_range}."
        )
    if (low, high) == (0, 255):
        return pixels
    return keras.layers.Rescaling(
        (high - low) / 255, offset=low, dtype="float32", name="preprocessing"
    )(pixels)


def _inputs(takes: Any, name: str) -> Any:
    """An input for each tensor, named as the module names it."""
    if isinstance(takes, Mapping):
        return {key: _input(spec, key, name) for key, spec in takes.items()}
    if isinstance(takes, tf.TensorSpec):
        return _input(takes, "text" if takes.dtype == tf.string else "inputs", name)
    raise ValueError(
        "Expected a module that takes one tensor or a dict of them; put another between inputs "
        f"of your own, by kx.HubLayer. Received: {name}, which takes {takes}."
    )


def _input(spec: tf.TensorSpec, key: str, name: str) -> keras.KerasTensor:
    if spec.shape.rank is None or spec.shape.rank == 0:
        raise ValueError(
            "Expected a module that takes batches of a known rank; put another between inputs of "
            f"your own, by kx.HubLayer. Received: {name}, which takes {spec} for {key!r}."
        )
    return keras.Input(tuple(spec.shape[1:]), dtype=spec.dtype.name, name=key)


def _model_name(handle: str) -> str:
    """The last piece of a path or URL that says something."""
    pieces = [piece for piece in re.split(r"[/\\]", handle.partition("?")[0]) if piece]
    named = [piece for piece in pieces if not piece.isdigit()] or ["module"]
    return re.sub(r"\W+", "_", named[-1].removesuffix(".tar.gz")).strip("_") or "module"
