"""Checks an exported version the way TF Serving would meet it."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np

from keras_transfer.serving.c_api import LoadError
from keras_transfer.serving.clean_process import run
from keras_transfer.serving.ops import (
    SERVER,
    beyond_tensorflow,
    text_libraries,
    unknown_to_server,
    used_ops,
)
from keras_transfer.serving.samples import FILE, Tensors, load_samples

# Largest difference from what Keras gave: decoding JPEG may differ between CPUs, arithmetic not.
TOLERANCES = {"pixels": 1e-5, "serving_default": 2e-3}
_SERVABLE_TYPES = ("float32", "float64", "int32", "int64", "uint8", "bool", "string")


class VerificationError(RuntimeError):
    """An exported version is not what it should be; `.problems` lists why.

    Args:
        version: the version's folder.
        problems: one sentence each.
    """

    def __init__(self, version: pathlib.Path, problems: list[str]):
        self.problems = problems
        super().__init__(
            f"Expected {version} to load and answer as the Keras model did; do not serve it, "
            "export again. Received:\n" + "\n".join(f"  - {problem}" for problem in problems)
        )


def verify(version_path: str | os.PathLike[str]) -> None:
    """Loads a version as TF Serving loads it and compares its answers with Keras's.

    The graph's signatures are checked for what TF Serving can serve. Then a separate process
    loads the version through TensorFlow's C API (which `tf.saved_model.load` does not use) and
    runs the samples that were stored at export.

    Args:
        version_path: a version made by `kx.export`, `base_path/N`.

    Raises:
        FileNotFoundError: if there is no such folder.
        VerificationError: if anything is off; it lists all that is.

    Example:

    >>> import keras, tempfile
    >>> import keras_transfer as kx
    >>> pixels = keras.Input([32, 32, 3])
    >>> model = kx.Classifier(keras.Model(pixels, keras.layers.Conv2D(8, 3)(pixels)), 2)
    >>> version = kx.export(model, tempfile.mkdtemp(), resize="crop")
    >>> kx.verify(version)
    """
    version = pathlib.Path(version_path)
    if not version.is_dir():
        raise FileNotFoundError(f"Expected the folder of an exported version. Received: {version}.")
    problems = _missing_files(version)
    if not problems:
        graph = _served_graph(version)
        signatures = {k: v for k, v in graph.signature_def.items() if not k.startswith("__")}
        problems = [*_unservable(signatures), *_unknown_ops(graph)]
        libraries = text_libraries() if beyond_tensorflow(used_ops(graph.graph_def)) else []
        problems = problems or _wrong_answers(version, signatures, libraries)
    if problems:
        raise VerificationError(version, problems)


def _missing_files(version: pathlib.Path) -> list[str]:
    """A version without its variables loads without an error, and fails when it is asked."""
    needed = ["saved_model.pb", "variables/variables.index", str(FILE)]
    return [f"There is no {name}." for name in needed if not (version / name).is_file()]


def _served_graph(version: pathlib.Path) -> Any:
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


def _unservable(signatures: dict[str, Any]) -> list[str]:
    import tensorflow as tf

    if "serving_default" not in signatures:
        return [f"There is no signature 'serving_default', only {sorted(signatures)}."]
    problems = []
    for name, signature in signatures.items():
        for key, tensor in [*signature.inputs.items(), *signature.outputs.items()]:
            sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
            if not sizes or sizes[0] != -1:
                problems.append(f"{name}: {key} has shape {sizes}, not the batch first.")
            if (dtype := tf.dtypes.as_dtype(tensor.dtype).name) not in _SERVABLE_TYPES:
                problems.append(f"{name}: {key} is {dtype}, which TF Serving's REST API refuses.")
    return problems


def _unknown_ops(graph: Any) -> list[str]:
    unknown = sorted(unknown_to_server(used_ops(graph.graph_def)))
    if not unknown:
        return []
    return [
        f"The operations {unknown} are neither TensorFlow's nor TensorFlow Text's: {SERVER} does "
        "not know them."
    ]


def _wrong_answers(
    version: pathlib.Path, signatures: dict[str, Any], libraries: list[pathlib.Path]
) -> list[str]:
    try:
        samples = load_samples(version)
    except Exception as error:  # zipfile, zlib and numpy each have their own for a damaged file
        return [f"The stored samples are damaged: {error}."]
    if set(samples) != set(signatures):
        return [f"There are samples for {sorted(samples)}, not for {sorted(signatures)}."]
    requests = [
        (
            {signatures[name].inputs[key].name: value for key, value in inputs.items()},
            [signatures[name].outputs[key].name for key in outputs],
        )
        for name, (inputs, outputs) in samples.items()
    ]
    try:
        results = run(version, requests, libraries)
    except LoadError as error:
        return [f"TensorFlow's C API does not load and run it: {error}"]
    problems = []
    for (name, (_, expected)), result in zip(samples.items(), results, strict=True):
        answers = {key: result[signatures[name].outputs[key].name] for key in expected}
        problems += _differences(name, expected, answers)
    return problems


def _differences(signature: str, expected: Tensors, answers: Tensors) -> list[str]:
    tolerance = TOLERANCES[signature]
    problems = []
    for key, value in expected.items():
        answer = answers[key]
        if answer.shape != value.shape:
            problems.append(f"{signature}: {key} has shape {answer.shape}, not {value.shape}.")
        elif value.dtype != object and not np.allclose(answer, value, rtol=0, atol=tolerance):
            worst = np.abs(answer - value).max()
            problems.append(f"{signature}: {key} differs from Keras by {worst:g} > {tolerance:g}.")
    if not problems and "label" in expected:
        wrong = (answers["label"] != expected["label"]) & _decided(expected, tolerance)
        problems += [f"{signature}: {wrong.sum()} labels differ from Keras."] if wrong.any() else []
    return problems


def _decided(expected: Tensors, tolerance: float) -> np.ndarray:
    """Where the best class is ahead by more than the tolerance lets the scores move."""
    best = np.sort(expected["probabilities"], axis=-1)[:, -2:]
    return (
        best[:, -1] - best[:, 0] > 2 * tolerance if best.shape[1] == 2 else np.ones(len(best), bool)
    )
