"""A copy of a tf.data pipeline that leaves no trace in the original when it is read."""

from __future__ import annotations

import tensorflow as tf

_IGNORE_STATE = 1  # tf.data's ExternalStatePolicy: Python functions go along without a warning


def independent_copy(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Copies a pipeline with its variables, as they are now, and with shuffles of their own.

    A shuffle counts its epochs in the dataset object, and augmentation in a pipeline counts in
    variables: read once more, a dataset gives another order and other pictures from then on.
    Shuffles of the copy start at their first epoch. It goes around caches, which would keep what
    was read first.

    Args:
        dataset: tf.data.Dataset.

    Raises:
        ValueError: if something in the pipeline, such as an iterator, cannot be copied.
    """
    try:
        graph = _graph(dataset)
        output = _separate(graph)
        with tf.device("CPU:0"):  # where pipelines run; their variables must not go to a GPU
            variant = tf.compat.v1.wrap_function(
                lambda: tf.graph_util.import_graph_def(graph, return_elements=[output])[0], []
            )()
        copy = tf.data.experimental.from_variant(variant, dataset.element_spec)
    except (tf.errors.OpError, ValueError) as error:
        raise ValueError(
            f"Expected a dataset that tf.data can copy. Received: {dataset}, {error}"
        ) from error
    return copy.with_options(dataset.options())


def calls_python(dataset: tf.data.Dataset) -> bool:
    """Whether Python functions or generators run in a pipeline; False if nobody can tell."""
    try:
        graph = _graph(dataset)
    except tf.errors.OpError:
        return False
    nodes = [*graph.node, *(n for function in graph.library.function for n in function.node_def)]
    return any("PyFunc" in node.op for node in nodes)


def _graph(dataset: tf.data.Dataset) -> tf.compat.v1.GraphDef:
    serialized = tf.raw_ops.DatasetToGraphV2(
        input_dataset=tf.data.experimental.to_variant(dataset),
        external_state_policy=_IGNORE_STATE,
    )
    return tf.compat.v1.GraphDef.FromString(serialized.numpy())


def _separate(graph: tf.compat.v1.GraphDef) -> str:
    """Cuts what a serialized pipeline shares with its original; gives its output's name."""
    nodes = {node.name: node for node in graph.node}
    for node in graph.node:
        if node.op.startswith("CacheDataset"):
            _make(node, "Identity", node.input[:1])
            node.attr["T"].type = tf.variant.as_datatype_enum
        for name in node.input:
            source = nodes.get(name.lstrip("^").split(":")[0])
            if source is not None and _is_resource(source):
                _replace_resource(source)
    [end] = [node for node in graph.node if node.op == "_Retval"]
    output = end.input[0]
    graph.node.remove(end)
    return output if ":" in output else f"{output}:0"


def _is_resource(node: tf.compat.v1.NodeDef) -> bool:
    return node.op == "Const" and node.attr["dtype"].type == tf.resource.as_datatype_enum


def _replace_resource(node: tf.compat.v1.NodeDef) -> None:
    kind = node.attr["value"].tensor.resource_handle_val[0].maybe_type_name
    if "SeedGenerator" not in kind:
        raise ValueError(f"the pipeline holds a resource of kind {kind!r}.")
    _make(node, "DummySeedGenerator", [])  # upon which the shuffle makes its own


def _make(node: tf.compat.v1.NodeDef, op: str, inputs: list[str]) -> None:
    inputs = list(inputs)
    for field in ("input", "attr", "experimental_type"):
        node.ClearField(field)
    node.op = op
    node.input.extend(inputs)
