"""The graph of a version, read without running it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

from keras_transfer.serving.verification.problems import VerificationError


def served_graph(version: pathlib.Path) -> Any:
    """The MetaGraphDef with the tag "serve".

    Raises:
        VerificationError: if the file is damaged or holds none.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString((version / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise VerificationError(version, [f"saved_model.pb is damaged: {error}."]) from error
    for graph in saved_model.meta_graphs:
        if "serve" in graph.meta_info_def.tags:
            return graph
    raise VerificationError(version, ["There is no graph tagged 'serve'."])


def signatures_of(graph: Any) -> dict[str, Any]:
    """SignatureDefs by name, without the one that initializes."""
    return {k: v for k, v in graph.signature_def.items() if not k.startswith("__")}


def run_by_signatures(graph: Any) -> list[Any]:
    """All nodes that a request can make run: what saves and restores the weights is none."""
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {one.signature.name: one for one in graph.graph_def.library.function}
    outputs = [x.name for s in signatures_of(graph).values() for x in s.outputs.values()]
    found: dict[str, Any] = {}
    waiting = [_node_name(name) for name in outputs]
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in found:
            found[name] = nodes[name]
            waiting += map(_node_name, nodes[name].input)
    called: dict[str, list[Any]] = {}
    names = [name for node in found.values() for name in _functions(node)]
    while names:
        name = names.pop()
        if name in functions and name not in called:
            called[name] = list(functions[name].node_def)
            names += [inner for node in called[name] for inner in _functions(node)]
    return [*found.values(), *(node for inside in called.values() for node in inside)]


def _functions(node: Any) -> Iterator[str]:
    yield node.op  # a function may be called by its name
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _node_name(name: str) -> str:
    return name.lstrip("^").partition(":")[0]
