"""Networks from features back to inputs."""

from __future__ import annotations

import math

import keras


def default_decoder(width: int, shape: tuple[int, ...]) -> keras.Model:
    """A small decoder for vectors or pictures, in float32 and with linear outputs.

    Vectors come from one hidden layer. Pictures grow from at most 8x8 places by transposed
    convolutions that double the size, and are cropped to it.

    Args:
        width: of the features.
        shape: of one input: `(size,)` or `(height, width, channels)`.

    Returns:
        A model from `[n, width]` to `[n, *shape]`.
    """
    features = keras.Input((width,), dtype="float32")
    outputs = _vector(features, *shape) if len(shape) == 1 else _picture(features, *shape)
    return keras.Model(features, outputs, name="decoder")


def _vector(x: keras.KerasTensor, size: int) -> keras.KerasTensor:
    hidden = max(x.shape[-1], size)
    x = keras.layers.Dense(hidden, activation="relu", dtype="float32")(x)
    return keras.layers.Dense(size, dtype="float32")(x)


def _picture(x: keras.KerasTensor, height: int, width: int, channels: int) -> keras.KerasTensor:
    doublings = max(0, math.ceil(math.log2(max(height, width) / 8)))
    rows, columns = (math.ceil(size / 2**doublings) for size in (height, width))
    x = keras.layers.Dense(rows * columns * 64, activation="relu", dtype="float32")(x)
    x = keras.layers.Reshape((rows, columns, 64), dtype="float32")(x)
    for number in range(doublings):
        filters = max(16, 64 >> number)
        x = keras.layers.Conv2DTranspose(filters, 4, 2, "same", activation="relu", dtype="float32")(
            x
        )
    x = keras.layers.Conv2D(channels, 3, padding="same", dtype="float32")(x)
    more = ((0, rows * 2**doublings - height), (0, columns * 2**doublings - width))
    return keras.layers.Cropping2D(more, dtype="float32")(x)
