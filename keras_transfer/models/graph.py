"""A model's graph: where it may be cut, and which models stand side by side in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras


def chunks(model: keras.Model) -> Iterator[list[keras.layers.Layer]]:
    """Cuts the graph wherever a single tensor passes; gives the layers between the cuts.

    That a tensor is also an output of the model changes nothing, so a backbone is cut the same
    way however many of its depths are outputs. Nor do inputs of ids and masks, which all layers
    of a transformer may take besides their features.
    """
    operations = getattr(model, "operations", None)
    if operations is None or isinstance(model, keras.Sequential):
        yield from ([layer] for layer in model.layers)
        return
    last_use = _last_use(operations)
    chunk: list[keras.layers.Layer] = []
    alive: dict[int, int] = {}
    for index, operation in enumerate(operations):
        if isinstance(operation, keras.layers.Layer):
            chunk.append(operation)
        if _is_of_ids(operation):
            continue
        alive |= {id(t): last_use[id(t)] for t in tensors(operation.output) if id(t) in last_use}
        alive = {tensor: last for tensor, last in alive.items() if last > index}
        if len(alive) <= 1 and chunk:
            yield chunk
            chunk = []


def _is_of_ids(operation: keras.Operation) -> bool:
    is_input = isinstance(operation, keras.layers.InputLayer)
    return is_input and not keras.backend.is_float_dtype(operation.output.dtype)


def side_by_side(model: keras.Model) -> list[keras.Model]:
    """The models that a model is made of, where all its outputs are theirs; else none."""
    inner = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    graphs = [layer for layer in inner if isinstance(layer, keras.Model) and is_graph(layer)]
    if len(inner) < 2 or len(graphs) < len(inner) or not is_graph(model):
        return []
    together = sum(len(layer.outputs) for layer in inner)
    return inner if len(model.outputs) == together else []


def upstream(
    model: keras.Model, nested: Sequence[keras.Model]
) -> tuple[dict[int, set[int]], set[int]]:
    """Which nested models of a graph feed each of them, and whose outputs are the model's own.

    Args:
        model: functional or sequential.
        nested: some of its layers.

    Returns:
        A dict from the id of each nested model to the ids of those before it, and a set of ids.
    """
    ids = {id(inner) for inner in nested}
    before: dict[int, set[int]] = {}  # of each tensor
    above: dict[int, set[int]] = {inner: set() for inner in ids}
    makers: dict[int, int] = {}
    same, calls = trace(model)
    for call in calls:
        given = {x for t in call.inputs for x in before.get(id(t), ())}
        for tensor in tensors(call.outputs):
            before[id(tensor)] = given | ({id(call.layer)} & ids)
            makers[id(tensor)] = id(call.layer)
        if id(call.layer) in ids:
            above[id(call.layer)] |= given
    return above, {makers[id(t)] for t in same.outputs if id(t) in makers} & ids


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer in a graph.

    Attributes:
        layer: a layer or another Keras operation.
        args: what it was called with.
        kwargs: likewise.
        outputs: a tensor or a structure of them.
    """

    layer: keras.Operation
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        """The tensors among what it was called with."""
        given = tensors((self.args, self.kwargs))
        return [item for item in given if isinstance(item, keras.KerasTensor)]


def trace(model: keras.Model) -> tuple[keras.Model, list[Call]]:
    """The calls of layers that a functional or sequential model is made of, in order.

    Returns:
        A model of the same layers, whose tensors the calls hold, and the calls.
    """
    calls = []

    def call(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        calls.append(Call(layer, args, kwargs, outputs))
        return outputs

    # Keras's public way through a graph: nothing is copied. A sequential model's `input` may be
    # that of another model that it is in.
    if isinstance(model, keras.Sequential):
        graph = keras.Model(model.inputs[0], model.outputs[0])
    else:
        graph = keras.Model(model.input, model.output)
    same = keras.models.clone_model(graph, clone_function=lambda layer: layer, call_function=call)
    return same, calls


def is_graph(model: keras.Model) -> bool:
    """Whether the model has symbolic outputs: not if it is subclassed, or never was built."""
    return hasattr(model, "outputs")


def tensors(structure: object) -> list[keras.KerasTensor]:
    """The tensors in a list, a dict or on their own."""
    return keras.tree.flatten(structure)


def _last_use(operations: list[keras.Operation]) -> dict[int, int]:
    last: dict[int, int] = {}
    for index, operation in enumerate(operations):
        if not isinstance(operation, keras.layers.InputLayer):
            last |= {id(tensor): index for tensor in tensors(operation.input)}
    return last
