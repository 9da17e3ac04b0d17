"""From a feature map to the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import keras

from keras_transfer.models.sequence_pooling import SequencePooling, pool_sequence

PicturePooling = Literal["avg", "max", "avgmax"]
Pooling = PicturePooling | SequencePooling


def pool(
    features: keras.KerasTensor,
    pooling: Pooling,
    prefix: str = "",
    mask: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Pools features over their places; those that are vectors already pass through.

    Args:
        features: `(batch, height, width, channels)`, `(batch, length, width)` or
            `(batch, channels)`.
        pooling: see `kx.Classifier`.
        prefix: what the names of the layers begin with.
        mask: of a sequence, see `pool_sequence`.
    """
    if len(features.shape) == 3:
        return pool_sequence(features, mask, pooling, prefix)
    if pooling not in get_args(PicturePooling):
        raise ValueError(
            f"Expected `pooling` to be one of {get_args(PicturePooling)}; others are for "
            f"sequences. Received: pooling={pooling!r}, features of shape {features.shape}."
        )
    if len(features.shape) == 2:
        return features
    if len(features.shape) != 4:
        raise ValueError(
            "Expected a backbone that gives (batch, height, width, channels), (batch, length, "
            f"width) or (batch, channels). Received: {features.shape}."
        )
    pooled = []
    if pooling != "max":
        pooled.append(
            keras.layers.GlobalAveragePooling2D(name=f"{prefix}average_pooling")(features)
        )
    if pooling != "avg":
        pooled.append(keras.layers.GlobalMaxPooling2D(name=f"{prefix}max_pooling")(features))
    if len(pooled) == 1:
        return pooled[0]
    return keras.layers.Concatenate(name=f"{prefix}pooling")(pooled)


def dense_head(
    features: keras.KerasTensor,
    units: int,
    *,
    standardize: bool,
    hidden: Sequence[int],
    dropout: float,
    output_name: str,
) -> keras.KerasTensor:
    """Hidden dense layers with ReLU, dropout before every dense layer, linear float32 outputs."""
    if any(width < 1 for width in hidden):
        raise ValueError(
            f"Expected `hidden` to hold layer widths of at least 1. Received: {hidden}."
        )
    x = features
    if standardize:
        # Keras's own momentum of .99 would want hundreds of steps, and few examples give few.
        x = keras.layers.BatchNormalization(
            momentum=0.9, center=False, scale=False, name="standardization"
        )(x)
    for number, width in enumerate(hidden, start=1):
        x = _dropout(x, dropout, f"dropout_{number}")
        x = keras.layers.Dense(width, activation="relu", name=f"hidden_{number}")(x)
    x = _dropout(x, dropout, "dropout")
    # From zero, as Kolesnikov et al., "Big Transfer (BiT)", ECCV 2020, begin: with more features
    # than examples, what is random in directions that no example has stays for good. float32
    # under any dtype policy: losses and TF Serving's REST API need it.
    return keras.layers.Dense(units, kernel_initializer="zeros", dtype="float32", name=output_name)(
        x
    )


def _dropout(x: keras.KerasTensor, rate: float, name: str) -> keras.KerasTensor:
    if not 0 <= rate < 1:
        raise ValueError(f"Expected `dropout` to be at least 0 and less than 1. Received: {rate}.")
    return keras.layers.Dropout(rate, name=name)(x) if rate else x
