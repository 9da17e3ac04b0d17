"""Whether TF Serving can serve a graph, told from the graph alone."""

from __future__ import annotations

from typing import Any

from keras_transfer.serving.signatures.names import DEFAULT
from keras_transfer.serving.verification.ops import SERVER, unknown_to_server, used_ops
from keras_transfer.serving.verification.saved_graph import run_by_signatures, signatures_of

_SERVABLE_TYPES = ("float32", "float64", "int32", "int64", "uint8", "bool", "string")
_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
_FILES = {
    "FixedLengthRecordDataset",
    "FixedLengthRecordDatasetV2",
    "MatchingFiles",
    "MatchingFilesDataset",
    "PrintV2",
    "ReadFile",
    "Restore",
    "RestoreV2",
    "Save",
    "SaveV2",
    "TFRecordDataset",
    "TFRecordDatasetV2",
    "TextLineDataset",
    "WriteFile",
}
# Kernels that a server without a GPU lacks.
_GPU_ALONE = {"CudnnRNN", "CudnnRNNV2", "CudnnRNNV3"}


def graph_problems(graph: Any) -> list[str]:
    """One sentence for each thing that TF Serving refuses, or that has no place in a version."""
    return [*_of_signatures(signatures_of(graph)), *_of_ops(graph), *_of_nodes(graph)]


def _of_signatures(signatures: dict[str, Any]) -> list[str]:
    import tensorflow as tf

    if DEFAULT not in signatures:
        return [f"There is no signature '{DEFAULT}', only {sorted(signatures)}."]
    problems = []
    for name, signature in signatures.items():
        for key, tensor in [*signature.inputs.items(), *signature.outputs.items()]:
            sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
            if not sizes or sizes[0] != -1:
                problems.append(f"{name}: {key} has shape {sizes}, not the batch first.")
            if (dtype := tf.dtypes.as_dtype(tensor.dtype).name) not in _SERVABLE_TYPES:
                problems.append(f"{name}: {key} is {dtype}, which TF Serving's REST API refuses.")
    return problems


def _of_ops(graph: Any) -> list[str]:
    unknown = sorted(unknown_to_server(used_ops(graph.graph_def)))
    if not unknown:
        return []
    return [
        f"The operations {unknown} are neither TensorFlow's nor TensorFlow Text's: {SERVER} does "
        "not know them."
    ]


def _of_nodes(graph: Any) -> list[str]:
    """What a request would make run."""
    nodes = run_by_signatures(graph)
    ops = {node.op for node in nodes}
    compiled = {node.name for node in nodes if _must_compile(node)}
    compiled |= {x.signature.name for x in graph.graph_def.library.function if _must_compile(x)}
    devices = {node.device for node in nodes if node.device and "CPU" not in node.device.upper()}
    found = (
        (ops & _PYTHON, "call Python, which a server has not"),
        (ops & _FILES, "reach for files or standard output"),
        (ops & _GPU_ALONE, "run on a GPU alone"),
        (compiled, "have to be compiled by XLA, which TF Serving switches off"),
    )
    problems = [f"{sorted(which)} {what}." for which, what in found if which]
    if devices:
        problems.append(f"Operations are bound to the devices {sorted(devices)}.")
    return problems


def _must_compile(node: Any) -> bool:
    return "_XlaMustCompile" in node.attr and node.attr["_XlaMustCompile"].b
