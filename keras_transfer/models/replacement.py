"""Swaps layers of a model; the others keep their weights."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import keras

from keras_transfer.models.copying import Copying, has_graph
from keras_transfer.models.notes import copy_notes

Replacement: TypeAlias = (
    keras.layers.Layer | Callable[[keras.layers.Layer], keras.layers.Layer | None] | None
)


def replace_layers(
    model: keras.Model,
    replacements: Mapping[str | type[keras.layers.Layer], Replacement],
    *,
    keep_weights: bool = False,
) -> keras.Model:
    """Makes a new model in which some layers are others.

    For instance another activation, normalization or stride in a pretrained backbone. The given
    model stays as it is, and the two share nothing. Layers keep their names, new ones take that
    of the layer they replace, so `kx.split_into_blocks` finds the same blocks. Layers that are
    not replaced keep weights, random states and `trainable` flags. The new model is not compiled.

    Args:
        model: keras.Model, functional or sequential: a backbone, or a whole classifier; models
            nested in it are searched, too.
        replacements: dict from a layer's name (all layers of that name), or from a layer class
            (all layers of it), to a layer; a function from the old layer to the new one, or back
            to the old one to leave it; or None to pass the input on. Names go before classes.
            Of a layer each place gets a copy, with its weights if it has any.
        keep_weights: bool. Whether a new layer takes the weights of the old one; they must have
            the same shapes. Else they are those it was given, or random.

    Returns:
        A `keras.Model`, with class names and resizing noted as on the given one.

    Raises:
        ValueError: if the model has no graph, a key matches nothing, a replacement is no layer,
            or layers or weights do not fit.

    Example:

    >>> import keras
    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3))
    >>> smooth = kx.replace_layers(
    ...     backbone,
    ...     {
    ...         keras.layers.ReLU: keras.layers.Activation("swish"),
    ...         keras.layers.BatchNormalization: lambda old: keras.layers.GroupNormalization(8),
    ...     },
    ... )
    >>> smooth.get_layer("stem_bn").groups, backbone.get_layer("stem_relu6").max_value
    (8, 6)
    """
    _check(model, replacements)

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        key = _key(layer, replacements)
        return layer if key is None else _given(layer, replacements[key])

    return copy_notes(model, Copying(replace, keep_weights).copied(model))


def _check(model: keras.Model, replacements: Mapping[Any, Replacement]) -> None:
    if not has_graph(model):
        raise ValueError(
            "Expected a functional or sequential model; in another one there is no telling how "
            f"layers are called. Received: {type(model).__name__} {model.name!r}."
        )
    layers = list(_graph_layers(model))
    for key in replacements:
        if not any(_key(layer, {key: None}) == key for layer in layers):
            raise ValueError(
                "Expected `replacements` to hold names or classes of the model's layers, for "
                f"instance {_known(layers, key)}. Received: {key!r}."
            )


def _known(layers: list[keras.layers.Layer], key: Any) -> list[str]:
    """The names like the key, else all; the classes, if it is one."""
    if not isinstance(key, str):
        return sorted({type(layer).__name__ for layer in layers})
    names = [layer.name for layer in layers]
    return difflib.get_close_matches(key, names) or names


def _key(layer: keras.Operation, keys: Mapping[Any, Replacement]) -> Any:
    if layer.name in keys:
        return layer.name
    return next((key for key in keys if isinstance(key, type) and isinstance(layer, key)), None)


def _given(layer: keras.layers.Layer, replacement: Replacement) -> keras.layers.Layer:
    given = replacement
    if not isinstance(given, (keras.layers.Layer, type)) and callable(given):
        given = given(layer)
    if given is None:
        given = keras.layers.Identity()
    if not isinstance(given, keras.layers.Layer):
        raise ValueError(
            f"Expected what replaces layer {layer.name!r} to be a layer, a function from the old "
            f"layer to a new one, or None. Received: {given!r}."
        )
    return given


def _graph_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            yield layer
        if has_graph(layer):
            yield from _graph_layers(layer)
