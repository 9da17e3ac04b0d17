"""The frozen beginning of a model, and the rest that is trained on its outputs."""

from __future__ import annotations

from typing import Any

import keras

from keras_transfer.models.blocks import flatten
from keras_transfer.models.exactness import (
    NotExactError,
    NothingFrozenError,
    change_while_training,
    check_by_running,
    frozen_but_for_statistics,
    trained_weights,
)
from keras_transfer.models.flat_graph import FlatGraph
from keras_transfer.models.graph import Call, is_graph, tensors

_BATCH_NORM = keras.layers.BatchNormalization


def split_frozen(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Splits a model where its frozen part ends: `tail(prefix(x))` is `model(x)`.

    The prefix is the largest part of the graph that depends on no trainable weight, layers
    without weights included, also inside nested models. The tail is made of the same layers, not
    of copies: to train it is to train the model. It is for training by hand on features that are
    computed once, see `kx.FeatureCache`; `kx.fine_tune` does it by itself.

    Args:
        model: keras.Model, functional or sequential; what is frozen by its flags when this is
            called.

    Returns:
        Two functional models. Where the cut goes through several tensors, the prefix gives a
        list of them and the tail takes it.

    Raises:
        ValueError: if running the frozen part once would not be exact: a BatchNorm in it updates
            its statistics, dropout or stochastic depth is active, a layer keeps a state from
            batch to batch or adds a loss, a mask goes through the cut. Or if there is nothing
            frozen, or nothing else, or the model is subclassed and so has no graph.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> model = kx.Classifier(backbone, 2)
    >>> kx.FeatureExtraction().apply(model)
    >>> prefix, tail = kx.split_frozen(model)
    >>> prefix.output_shape, [layer.name for layer in tail.layers][1:]
    ((None, 1280), ['logits'])
    """
    if not is_graph(model):
        raise NotExactError(
            "Expected a functional model: a subclassed one has no graph to cut. "
            f"Received: model {model.name!r} of class {type(model).__name__}."
        )
    graph = FlatGraph(model, _divided)
    frozen, rest = _divide(graph)
    _check_weights(graph, rest)
    cut = _cut(graph, frozen, rest)
    prefix = _prefix(graph, cut, rest)
    _check(prefix)
    return prefix, _tail(graph, cut, rest)


def _divided(call: Call) -> bool:
    """Whether a nested model is to be taken apart: it is frozen in part, and called plainly."""
    layer = call.layer
    if not isinstance(layer, keras.Model) or not is_graph(layer):
        return False
    if not trained_weights(layer) and change_while_training(layer) is None:
        return False
    if not call.args:
        return False
    inner = None if isinstance(layer, keras.Sequential) else layer.input
    alike = isinstance(inner, dict) == isinstance(call.args[0], dict)
    some_frozen = any(x.weights and not trained_weights(x) for x in flatten(layer))
    return some_frozen and alike and len(call.inputs) == len(layer.inputs)


def _divide(graph: FlatGraph) -> tuple[set[int], list[Call]]:
    """The ids of the tensors that stay the same while training, and the calls after them."""
    frozen = {graph[t] for t in tensors(graph.inputs)}
    looks_frozen = set(frozen)
    rest: list[Call] = []
    reason = ""
    for call in graph.calls:
        given = {graph[t] for t in call.inputs}
        made = {graph[t] for t in tensors(call.outputs)}
        if not given <= looks_frozen or not _looks_frozen(call.layer):
            rest.append(call)
            continue
        looks_frozen |= made
        here = _reason(call.layer)
        if given <= frozen and here is None:
            frozen |= made
            continue
        rest.append(call)
        lost = _has_features(call.layer) or (reason and call.layer.weights)
        reason = reason or here or ""
        if lost:
            raise NotExactError(_refusal(reason))
    return frozen, rest


def _looks_frozen(layer: keras.Operation) -> bool:
    return not isinstance(layer, keras.Layer) or frozen_but_for_statistics(layer)


def _reason(layer: keras.Operation) -> str | None:
    return change_while_training(layer) if isinstance(layer, keras.Layer) else None


def _has_features(layer: keras.Operation) -> bool:
    """Whether it has weights but for those of normalization, such as begin many heads."""
    if not isinstance(layer, keras.Layer):
        return False
    of_statistics = {
        id(weight) for x in flatten(layer) if isinstance(x, _BATCH_NORM) for weight in x.weights
    }
    return any(id(weight) not in of_statistics for weight in layer.weights)


def _cut(graph: FlatGraph, frozen: set[int], rest: list[Call]) -> dict[int, keras.KerasTensor]:
    """The tensors that go from the frozen part into the rest."""
    used = [tensor for call in rest for tensor in call.inputs] + tensors(graph.outputs)
    return {graph[tensor]: tensor for tensor in used if graph[tensor] in frozen}


def _prefix(graph: FlatGraph, cut: dict[int, keras.KerasTensor], rest: list[Call]) -> keras.Model:
    inputs = keras.tree.map_structure(_input_like, graph.inputs)
    pairs = zip(tensors(graph.inputs), tensors(inputs), strict=True)
    known = {graph[old]: new for old, new in pairs}
    after = set(map(id, rest))
    graph.replay((call for call in graph.calls if id(call) not in after), known)
    return keras.Model(inputs, _one_or_list([known[key] for key in cut]), name="frozen_part")


def _tail(graph: FlatGraph, cut: dict[int, keras.KerasTensor], rest: list[Call]) -> keras.Model:
    known = {
        key: _input_like(tensor, name=f"features_{number}")
        for number, (key, tensor) in enumerate(cut.items())
    }
    inputs = list(known.values())
    # Keras 3.12 takes no output that is an input.
    frozen = {
        key: keras.layers.Identity(dtype=tensor.dtype)(tensor) for key, tensor in known.items()
    }
    graph.replay(rest, known)
    outputs = keras.tree.map_structure(lambda x: (known | frozen)[graph[x]], graph.outputs)
    return keras.Model(_one_or_list(inputs), outputs, name="tail")


def _input_like(tensor: keras.KerasTensor, name: str | None = None) -> keras.KerasTensor:
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name or tensor.name)


def _one_or_list(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items


def _check_weights(graph: FlatGraph, rest: list[Call]) -> None:
    after = set(map(id, rest))
    before = (call.layer for call in graph.calls if id(call) not in after)
    if not any(layer.weights for layer in before if isinstance(layer, keras.Layer)):
        raise NothingFrozenError(
            "Expected frozen weights at the beginning of the model: there are none."
        )
    layers = (call.layer for call in rest if isinstance(call.layer, keras.Layer))
    if not any(trained_weights(layer) for layer in layers):
        raise NothingFrozenError(
            "Expected weights to train behind the frozen part: there are none."
        )


def _check(prefix: keras.Model) -> None:
    for tensor in prefix.outputs:
        if getattr(tensor, "_keras_mask", None) is not None:  # no public name
            raise NotExactError(_refusal("a mask goes on to what is trained"))
        if not tensor.shape or tensor.shape[0] is not None:
            raise NotExactError(
                f"Expected one row an example of what the frozen part gives. Received: {tensor}."
            )
    reason = check_by_running(prefix)
    if reason:
        raise NotExactError(_refusal(reason))


def _refusal(reason: str) -> str:
    return f"Expected a frozen part that gives the same in every epoch. Received: {reason}."
