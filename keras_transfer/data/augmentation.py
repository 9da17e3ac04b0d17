"""Random changes to training pictures, made of Keras's own layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Literal, get_args

import keras

from keras_transfer.data.random_operations import RandomOperations

Strength = Literal["none", "light", "standard", "strong"]
# The mean color of ImageNet, on which most backbones were trained: an erased part says nothing.
_ERASED = (124, 116, 104)
# float32 under any dtype policy: half precision rounds pixels, by up to one of 255.
_WHITE: dict[str, Any] = {"fill_mode": "constant", "fill_value": 255.0, "dtype": "float32"}
_PIXELS: dict[str, Any] = {"value_range": (0, 255), "dtype": "float32"}


def augmentation(
    strength: Strength, image_size: tuple[int | None, int | None], *, seed: int | None = None
) -> keras.Model:
    """A Keras model that changes pictures at random; pass it to `kx.fine_tune`.

    Augment after any cache, or every epoch sees the same changes again.

    Reference: Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced
    search space", CVPR workshops 2020; Zhong et al., "Random Erasing Data Augmentation", AAAI 2020.

    Args:
        strength: "none" changes nothing. "light" flips from left to right and shifts and scales
            by up to a tenth, on white: safe wherever a mirror image has the same label.
            "standard" also rotates by up to 15 degrees and varies brightness and contrast by up
            to a fifth. "strong" flips, puts each picture through two operations of RandAugment,
            and from one in four erases a rectangle; for long training on a few pictures.
        image_size: tuple (height, width) of the pictures, in pixels; None for any, except with
            "strong".
        seed: int, or None for another sequence each time.

    Returns:
        A `keras.Sequential` from `(batch, height, width, 3)` pixels 0-255 to the same. It
        changes nothing when called with `training=False`.

    Raises:
        ValueError: if there is no such strength, or "strong" pictures have no fixed size.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> pictures = np.zeros([2, 8, 8, 3], "float32")
    >>> kx.augmentation("standard", (8, 8), seed=0)(pictures, training=True).shape
    TensorShape([2, 8, 8, 3])
    """
    if strength not in get_args(Strength):
        raise ValueError(
            f"Expected `strength` to be one of {get_args(Strength)}. Received: {strength!r}."
        )
    if strength == "strong" and None in image_size:
        raise ValueError(
            'Expected a fixed `image_size` for "strong", which erases rectangles: augment before '
            f"`kx.multi_scale`. Received: image_size={image_size}."
        )
    return keras.Sequential(
        [keras.Input((*image_size, 3), name="pixels", dtype="float32"), *_layers(strength, seed)],
        name=f"augmentation_{strength}",
    )


def _layers(strength: Strength, seed: int | None) -> list[keras.layers.Layer]:
    # A seed for each layer: with one for all, those that are flipped would also be those zoomed in.
    seeds = itertools.repeat(None) if seed is None else itertools.count(seed)
    if strength == "none":
        return [keras.layers.Identity(name="identity", dtype="float32")]
    if strength == "strong":
        return _strong(seeds)
    layers = [
        keras.layers.RandomFlip("horizontal", seed=next(seeds), name="flip", dtype="float32"),
        keras.layers.RandomTranslation(0.1, 0.1, **_WHITE, seed=next(seeds), name="translation"),
        keras.layers.RandomZoom(0.1, **_WHITE, seed=next(seeds), name="zoom"),
        keras.layers.RandomRotation(15 / 360, **_WHITE, seed=next(seeds), name="rotation"),
        keras.layers.RandomBrightness(0.2, **_PIXELS, seed=next(seeds), name="brightness"),
        # A single number would only raise it.
        keras.layers.RandomContrast((0.2, 0.2), **_PIXELS, seed=next(seeds), name="contrast"),
    ]
    return layers[:3] if strength == "light" else layers


def _strong(seeds: Iterator[int | None]) -> list[keras.layers.Layer]:
    operations = _operations(seeds)
    return [
        keras.layers.RandomFlip("horizontal", seed=next(seeds), name="flip", dtype="float32"),
        RandomOperations(operations, seed=next(seeds), name="operations", dtype="float32"),
        keras.layers.RandomErasing(
            # A single number would mean half of it: Keras draws the share of pictures, too.
            factor=(0.25, 0.25),
            scale=(0.02, 0.2),
            fill_value=_ERASED,
            seed=next(seeds),
            name="erasing",
            dtype="float32",
        ),
    ]


def _operations(seeds: Iterator[int | None]) -> list[keras.layers.Layer]:
    """Those of RandAugment that are right in Keras, about as strong as in the paper.

    Left out are Solarization, whose thresholds cannot be kept from inverting whole pictures, and
    RandomSharpness, which darkens their edges.
    """
    return [
        # Keras draws the sign apart, and cannot load what was made with negative numbers.
        keras.layers.RandomShear((0, 0.2), 0.0, **_WHITE, seed=next(seeds), name="shear_across"),
        keras.layers.RandomShear(0.0, (0, 0.2), **_WHITE, seed=next(seeds), name="shear_down"),
        keras.layers.RandomTranslation(0.2, 0.2, **_WHITE, seed=next(seeds), name="translation"),
        keras.layers.RandomRotation(30 / 360, **_WHITE, seed=next(seeds), name="rotation"),
        keras.layers.RandomBrightness(0.3, **_PIXELS, seed=next(seeds), name="brightness"),
        keras.layers.RandomContrast((0.5, 0.5), **_PIXELS, seed=next(seeds), name="contrast"),
        keras.layers.RandomColorDegeneration(0.7, **_PIXELS, seed=next(seeds), name="color"),
        # Bits that are kept, 8 excluded.
        keras.layers.RandomPosterization((4, 8), **_PIXELS, seed=next(seeds), name="bits"),
        keras.layers.AutoContrast(**_PIXELS, name="auto_contrast"),
        keras.layers.Equalization(**_PIXELS, name="equalization"),
    ]
