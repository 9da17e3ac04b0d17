"""From the features of each token to one vector a text; padding does not count."""

from __future__ import annotations

from typing import Literal, get_args

import keras

SequencePooling = Literal["avg", "mean", "max", "avgmax", "cls", "attention"]
# Ends an exponential function, and does not overflow in half precision.
_NEVER = -3e4


def pool_sequence(
    features: keras.KerasTensor,
    mask: keras.KerasTensor | None,
    pooling: SequencePooling,
    prefix: str = "",
) -> keras.KerasTensor:
    """Pools the features of a sequence, in operations of Keras's own.

    A sequence of padding alone gives zeros, but for "cls".

    Args:
        features: `(batch, length, width)`.
        mask: `(batch, length)`, 1 where there is a token and 0 where there is padding; None for
            sequences without padding.
        pooling: "mean" (or "avg") and "max" over the tokens, "avgmax" for both side by side; "cls"
            takes the first token; "attention" the mean by shares that are learned.
        prefix: what the names of layers begin with.

    Returns:
        `(batch, width)`, twice as wide for "avgmax".

    Raises:
        ValueError: if there is no such pooling.
    """
    if pooling not in get_args(SequencePooling):
        raise ValueError(
            f"Expected `pooling` to be one of {get_args(SequencePooling)}. "
            f"Received: pooling={pooling!r}."
        )
    if pooling == "cls":
        return features[:, 0]
    if mask is None:
        mask = keras.ops.ones_like(features[..., 0])
    held = keras.ops.cast(keras.ops.expand_dims(mask, -1), features.dtype)
    if pooling == "attention":
        return _attend(features, held, prefix)
    pooled = []
    if pooling != "max":
        pooled.append(_mean(features, held))
    if pooling in ("max", "avgmax"):
        pooled.append(_largest(features, held))
    if len(pooled) == 1:
        return pooled[0]
    return keras.layers.Concatenate(name=f"{prefix}pooling")(pooled)


def _mean(features: keras.KerasTensor, held: keras.KerasTensor) -> keras.KerasTensor:
    # In float32: half precision counts tokens, but does not sum many of them.
    features, held = (keras.ops.cast(x, "float32") for x in (features, held))
    number = keras.ops.maximum(keras.ops.sum(held, axis=1), 1.0)
    return keras.ops.sum(features * held, axis=1) / number


def _largest(features: keras.KerasTensor, held: keras.KerasTensor) -> keras.KerasTensor:
    largest = keras.ops.max(keras.ops.where(held > 0, features, _NEVER), axis=1)
    return keras.ops.where(keras.ops.max(held, axis=1) > 0, largest, 0.0)


def _attend(features: keras.KerasTensor, held: keras.KerasTensor, prefix: str) -> keras.KerasTensor:
    """From the mean on: Yang et al., "Hierarchical Attention Networks", NAACL 2016."""
    hidden = keras.layers.Dense(features.shape[-1], activation="tanh", name=f"{prefix}token_hidden")
    scores = keras.layers.Dense(
        1, use_bias=False, kernel_initializer="zeros", dtype="float32", name=f"{prefix}token_scores"
    )(hidden(features))
    held = keras.ops.cast(held, "float32")
    scores = keras.ops.where(held > 0, scores, _NEVER)
    shares = keras.layers.Softmax(axis=1, dtype="float32", name=f"{prefix}token_weights")(scores)
    return keras.ops.sum(keras.ops.cast(features, "float32") * shares * held, axis=1)
