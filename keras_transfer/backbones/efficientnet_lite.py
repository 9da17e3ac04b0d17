"""EfficientNet-Lite0, the backbone whose ImageNet weights ship with the package.

Reference: Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", ICML 2019; the Lite variants (no squeeze-and-excite, ReLU6) followed in 2020.
"""

from __future__ import annotations

import os
import pathlib
import zipfile
from typing import Any

import keras
import numpy as np

from keras_transfer.backbones.info import BackboneInfo

NAME = "efficientnet_lite0"
WEIGHTS = pathlib.Path(__file__).parent / "weights" / "efficientnet_lite0_imagenet.npz"
INPUT_SIZE = 224
STEM_FILTERS, TOP_FILTERS = 32, 1280
# kernel size, repeats, expansion, stride of the first repeat, filters
BLOCKS = (
    (3, 1, 1, 1, 16),
    (3, 2, 6, 2, 24),
    (5, 2, 6, 2, 40),
    (3, 3, 6, 2, 80),
    (5, 3, 6, 1, 112),
    (5, 4, 6, 2, 192),
    (3, 1, 6, 1, 320),
)


def describe() -> list[BackboneInfo]:
    """The row that `kx.list_backbones()` shows."""
    return [BackboneInfo(NAME, 3_413_024, INPUT_SIZE, TOP_FILTERS, WEIGHTS.is_file())]


def load(name: str, input_shape: tuple[int | None, ...] | None, weights: Any) -> keras.Model:
    """Builds EfficientNet-Lite0 from pixels 0-255 to its feature map; see `kx.load_backbone`."""
    model = _build(input_shape or (INPUT_SIZE, INPUT_SIZE, 3), name)
    if weights == "pretrained":
        _load_arrays(model, WEIGHTS)
    elif weights is not None and os.fspath(weights).endswith(".npz"):
        _load_arrays(model, pathlib.Path(weights))
    elif weights is not None:
        model.load_weights(weights)
    return model


def _build(input_shape: tuple[int | None, ...], name: str) -> keras.Model:
    pixels = keras.Input(input_shape, name="pixels", dtype="float32")
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="rescaling", dtype="float32")(
        pixels
    )
    x = keras.layers.Conv2D(
        STEM_FILTERS, 3, strides=2, padding="same", use_bias=False, name="stem_conv"
    )(x)
    x = _normalize(x, "stem", activate=True)
    for stage, (kernel, repeats, expansion, stride, filters) in enumerate(BLOCKS, start=1):
        for repeat in range(repeats):
            letter = chr(ord("a") + repeat)
            first_stride = stride if repeat == 0 else 1
            x = _inverted_residual(
                x, f"block{stage}{letter}", kernel, expansion, first_stride, filters
            )
    x = keras.layers.Conv2D(TOP_FILTERS, 1, use_bias=False, name="top_conv")(x)
    return keras.Model(pixels, _normalize(x, "top", activate=True), name=name)


def _inverted_residual(
    inputs: keras.KerasTensor, name: str, kernel: int, expansion: int, stride: int, filters: int
) -> keras.KerasTensor:
    x = inputs
    if expansion != 1:
        x = keras.layers.Conv2D(
            expansion * inputs.shape[-1], 1, use_bias=False, name=f"{name}_expand_conv"
        )(x)
        x = _normalize(x, f"{name}_expand", activate=True)
    x = keras.layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_dwconv"
    )(x)
    x = _normalize(x, name, activate=True)
    x = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalize(x, f"{name}_project", activate=False)
    if stride == 1 and inputs.shape[-1] == filters:
        x = keras.layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _normalize(x: keras.KerasTensor, name: str, *, activate: bool) -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(max_value=6, name=f"{name}_relu6")(x) if activate else x


def _load_arrays(model: keras.Model, path: pathlib.Path) -> None:
    """Reads arrays named `layer/variable`; kernels are stored as float16 to keep the file small."""
    try:
        arrays = np.load(path, allow_pickle=False)
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f"Expected an .npz file of arrays named 'layer/variable'. Received: {path} ({error})."
        ) from error
    with arrays:
        for layer in model.layers:
            layer.set_weights(
                [_array(arrays, f"{layer.name}/{v.name}", v, path) for v in layer.weights]
            )


def _array(arrays: Any, key: str, variable: keras.Variable, path: pathlib.Path) -> np.ndarray:
    array = arrays[key] if key in arrays.files else None
    if array is None or array.shape != tuple(variable.shape):
        found = "no such array" if array is None else array.shape
        raise ValueError(
            f"The weights do not fit {NAME}: expected {key!r} with shape {tuple(variable.shape)}. "
            f"Received: {found} in {path}."
        )
    return array.astype("float32")
