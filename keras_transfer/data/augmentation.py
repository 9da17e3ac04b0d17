"""Random changes to training pictures, made of Keras's own layers."""

from __future__ import annotations

from typing import Literal, get_args

import keras

Strength = Literal["none", "light", "standard"]


def augmentation(
    strength: Strength, image_size: tuple[int, int], *, seed: int | None = None
) -> keras.Model:
    """A Keras model that changes pictures at random; pass it to `kx.fine_tune`.

    Augment after any cache, or every epoch sees the same changes again.

    Args:
        strength: "none" changes nothing. "light" flips from left to right and shifts and scales
            by up to a tenth, on white: safe wherever a mirror image has the same label.
            "standard" also rotates by up to 15 degrees and varies brightness and contrast by up
            to a fifth.
        image_size: tuple (height, width) of the pictures, in pixels.
        seed: int, or None for another sequence each time.

    Returns:
        A `keras.Sequential` from `(batch, height, width, 3)` pixels 0-255 to the same. It
        changes nothing when called with `training=False`.

    Raises:
        ValueError: if there is no such strength.

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
    fill = {"fill_mode": "constant", "fill_value": 255.0, "seed": seed}
    layers = [
        keras.layers.RandomFlip("horizontal", seed=seed, name="flip"),
        keras.layers.RandomTranslation(0.1, 0.1, name="translation", **fill),
        keras.layers.RandomZoom(0.1, name="zoom", **fill),
        keras.layers.RandomRotation(15 / 360, name="rotation", **fill),
        keras.layers.RandomBrightness(0.2, value_range=(0, 255), seed=seed, name="brightness"),
        keras.layers.RandomContrast(0.2, value_range=(0, 255), seed=seed, name="contrast"),
    ]
    nothing = [keras.layers.Identity(name="identity")]
    chosen = {"none": nothing, "light": layers[:3], "standard": layers}[strength]
    return keras.Sequential(
        [keras.Input((*image_size, 3), name="pixels"), *chosen], name=f"augmentation_{strength}"
    )
