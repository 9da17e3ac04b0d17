"""Which operations an exported graph uses, and whether TF Serving knows them."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

# TF Serving links TensorFlow's own operations, and those of TensorFlow Text:
# https://github.com/tensorflow/serving/blob/master/tensorflow_serving/model_servers/BUILD
SERVER = "TF Serving 2.20"


def text_libraries() -> list[pathlib.Path]:
    """The files of TensorFlow Text's operations, found without importing it."""
    found = importlib.util.find_spec("tensorflow_text")
    places = (found.submodule_search_locations or []) if found else []
    return sorted(file for place in places for file in pathlib.Path(place).rglob("python/ops/*.so"))


def load_ops_of(graph: Any) -> None:
    """Makes TensorFlow Text's operations known to this process, if a graph uses others' ops.

    Args:
        graph: GraphDef.
    """
    if needs_text_ops(graph):
        _load_text_ops()


def used_ops(graph: Any) -> set[str]:
    """The names of all operations in a GraphDef and its functions."""
    functions = [function.node_def for function in graph.library.function]
    named = {function.signature.name for function in graph.library.function}
    return {node.op for nodes in (graph.node, *functions) for node in nodes} - named


def needs_text_ops(graph: Any) -> bool:
    """Whether a GraphDef has operations that are not TensorFlow's own."""
    return bool(beyond_tensorflow(used_ops(graph)))


def beyond_tensorflow(ops: set[str]) -> set[str]:
    """Those that are not TensorFlow's own."""
    import tensorflow as tf

    return {op for op in ops if not op.startswith("_") and not hasattr(tf.raw_ops, op)}


def unknown_to_server(ops: set[str]) -> set[str]:
    """Those that are neither TensorFlow's nor TensorFlow Text's."""
    beyond = beyond_tensorflow(ops)
    if not beyond:
        return set()
    libraries = _load_text_ops()
    return {op for op in beyond if not any(hasattr(library, op) for library in libraries)}


def _load_text_ops() -> list[Any]:
    """Modules with a function of the name of each operation."""
    import tensorflow as tf

    return [tf.load_op_library(str(library)) for library in text_libraries()]
