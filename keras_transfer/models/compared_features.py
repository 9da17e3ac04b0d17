"""A model that also gives what some of its layers give, as one vector an example."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import keras

from keras_transfer.models.backbone_and_head import backbone_of
from keras_transfer.models.blocks import flatten, split_into_blocks
from keras_transfer.models.features import end_of
from keras_transfer.models.flat_graph import FlatGraph
from keras_transfer.models.graph import Call, is_graph, tensors
from keras_transfer.models.heads import pool


def compared_features(model: keras.Model, layers: Sequence[str] | None = None) -> keras.Model:
    """The model, on its own layers, with the features that are compared before its output.

    Args:
        model: keras.Model, functional or sequential, whose last layer is dense.
        layers: names of its layers, of layers in nested models, or of blocks of its backbone (see
            `kx.split_into_blocks`), input to output. None takes the input of the last layer.
            Feature maps are averaged over their places, sequences over the tokens that the input
            "padding_mask" does not leave out.

    Returns:
        A functional model of the same inputs; its outputs are a list of features `(batch, width)`
        and then the model's own output.

    Raises:
        ValueError: if the model has no graph, several outputs, its last layer is not dense, or a
            layer is not there or gives several tensors.
    """
    last = _last_dense(model)
    wanted = None if layers is None else _layer_names(model, layers)
    graph = FlatGraph(model, lambda call: wanted is not None and _holds(call, wanted))
    inputs = keras.tree.map_structure(_input_like, graph.inputs)
    pairs = zip(tensors(graph.inputs), tensors(inputs), strict=True)
    known = {graph[old]: new for old, new in pairs}
    graph.replay(graph.calls, known)
    if wanted is None:
        found = [known[graph[call.inputs[0]]] for call in graph.calls if call.layer is last]
    else:
        found = [known[graph[_output(graph, name)]] for name in wanted]
    mask = inputs.get("padding_mask") if isinstance(inputs, dict) else None
    pooled = [pool(x, "avg", f"compared_{i}_", mask) for i, x in enumerate(found)]
    return keras.Model(inputs, [*pooled, known[graph[tensors(graph.outputs)[0]]]])


def _last_dense(model: keras.Model) -> keras.layers.Dense:
    last = model.layers[-1] if model.layers else None
    if not is_graph(model) or len(model.outputs) != 1 or not isinstance(last, keras.layers.Dense):
        raise ValueError(
            "Expected a functional model with one output, from a dense layer, such as "
            f"kx.Classifier makes. Received: model {model.name!r} of class "
            f"{type(model).__name__}, whose last layer is {last}."
        )
    return last


def _layer_names(model: keras.Model, layers: Sequence[str]) -> list[str]:
    """Names of layers, those of blocks put as that of their last layer."""
    if isinstance(layers, str) or not layers:
        raise ValueError(f"Expected `layers` to be a list of names. Received: {layers!r}.")
    backbone = backbone_of(model) or model
    ends = {block.name: end_of(backbone, block).name for block in split_into_blocks(backbone)}
    names = [x.name for x in flatten(model)] + [inner.name for inner in model.layers]
    _check_known(layers, list(ends), names)
    return [name if name in names else ends[name] for name in layers]


def _check_known(layers: Sequence[str], blocks: Sequence[str], names: Sequence[str]) -> None:
    """Tells all blocks, which are few, and of the layers those whose names come near."""
    unknown = [name for name in layers if name not in blocks and name not in names]
    if unknown:
        near = list(dict.fromkeys(x for y in unknown for x in difflib.get_close_matches(y, names)))
        hint = f", for instance {near}" if near else ""
        raise ValueError(
            f"Expected `layers` to be names of blocks of the backbone, {list(blocks)}, or of "
            f"layers, which `model.summary(expand_nested=True)` shows{hint}. Received: {unknown}."
        )


def _holds(call: Call, names: Sequence[str]) -> bool:
    """Whether a nested model has to be taken apart to get at one of the layers."""
    inner = call.layer
    if not isinstance(inner, keras.Model) or not is_graph(inner):
        return False
    return any(x.name in names for x in getattr(inner, "operations", inner.layers))


def _output(graph: FlatGraph, name: str) -> keras.KerasTensor:
    made = [t for call in graph.calls if call.layer.name == name for t in tensors(call.outputs)]
    if len(made) != 1:
        raise ValueError(
            "Expected layers that are called once and give one tensor. "
            f"Received: {name!r}, which gives {len(made)}."
        )
    return made[0]


def _input_like(tensor: Any) -> keras.KerasTensor:
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
