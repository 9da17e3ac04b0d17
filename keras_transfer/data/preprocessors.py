"""Layers that turn texts into what a model gets: what they give, and what tells them apart."""

from __future__ import annotations

import hashlib
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# What KerasHub and the layers of this package call it: 1 where there is a token.
_MASK = "padding_mask"


def as_function(preprocessor: keras.layers.Layer) -> Callable[[tf.Tensor], Any]:
    """The layer as a function of strings `(batch,)`, traced once wherever it is used.

    Raises:
        ValueError: if it is no layer, or does not give dense tensors with one row a text.
    """
    if not isinstance(preprocessor, keras.layers.Layer):
        raise ValueError(
            "Expected `preprocessor` to be a Keras layer from strings (batch,) to what a model "
            f"gets. Received: {preprocessor!r}."
        )
    function = tf.function(
        lambda texts: preprocessor(texts),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    given = _given(function)
    if not given or not all(isinstance(x, tf.Tensor) and x.shape.rank for x in given):
        raise ValueError(
            "Expected a `preprocessor` that gives dense tensors with one row a text. "
            f"Received: {preprocessor.name!r}, which gives {given}."
        )
    return function


def pads(function: Any) -> bool:
    """Whether what a preprocessor gives is as long as the longest text of the batch."""
    return any(None in part.shape[1:] for part in _given(function))


def lengths(function: Callable[[tf.Tensor], Any], texts: tf.Tensor) -> tf.Tensor:
    """How long each text of a batch is: in tokens where a mask says so, else in bytes."""
    tokens = function(texts)
    if isinstance(tokens, dict) and _MASK in tokens:
        return tf.math.count_nonzero(tokens[_MASK], axis=1)
    return tf.cast(tf.strings.length(texts), tf.int64)


def settings_of(preprocessor: keras.layers.Layer) -> str:
    """Tells a preprocessor from others, by its config and what it has learnt, not by its name.

    Raises:
        ValueError: if it has no config.
    """
    try:
        config = keras.saving.serialize_keras_object(preprocessor)
        told = json.dumps(_without_names(config), sort_keys=True)
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            "Expected a `preprocessor` with a `get_config` that can be written as JSON. "
            f"Received: {preprocessor!r}, {error}"
        ) from error
    digest = hashlib.blake2b(told.encode(), digest_size=16)
    for layer in preprocessor._flatten_layers():
        for content in _learnt(layer):
            digest.update(hashlib.blake2b(content, digest_size=16).digest())
    return digest.hexdigest()


def _given(function: Any) -> list[Any]:
    return tf.nest.flatten(function.get_concrete_function().structured_outputs)


def _without_names(config: Any) -> Any:
    """Keras numbers the names of layers, by how many there were before."""
    if isinstance(config, list):
        return [_without_names(part) for part in config]
    if not isinstance(config, dict):
        return config
    of_layer = {"name", "trainable", "dtype"} <= config.keys()
    return {k: _without_names(v) for k, v in config.items() if not (of_layer and k == "name")}


def _learnt(layer: keras.layers.Layer) -> list[bytes]:
    """What is not in the config: weights, numbers, and files such as vocabularies."""
    numbers = [variable.numpy() for variable in layer.variables]
    kept = vars(layer)  # Keras's TextVectorization has what it counted neither here nor there
    numbers += [np.asarray(kept[k]) for k in sorted(kept) if _is_numbers(kept[k])]
    contents = [x.tobytes() for x in numbers]
    if hasattr(layer, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            files = sorted(pathlib.Path(folder).rglob("*"))
            contents += [file.read_bytes() for file in files if file.is_file()]
    return contents


def _is_numbers(value: Any) -> bool:
    tensor = isinstance(value, (tf.Variable, tf.Tensor, np.ndarray))
    return tensor and np.issubdtype(tf.as_dtype(value.dtype).as_numpy_dtype, np.number)
