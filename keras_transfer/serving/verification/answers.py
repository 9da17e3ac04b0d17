"""Whether a version answers as Keras did, run as TF Serving runs it."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from keras_transfer.serving.c_api.engine import run
from keras_transfer.serving.c_api.frames import Arrays
from keras_transfer.serving.c_api.session import ModelError
from keras_transfer.serving.verification.decided import wrong_strings
from keras_transfer.serving.verification.older_tensorflow import interpreter, text_libraries_of
from keras_transfer.serving.verification.ops import needs_text_ops, text_libraries
from keras_transfer.serving.verification.saved_graph import signatures_of
from keras_transfer.serving.versions.warmup import Sample, load_samples

# Largest difference from what Keras gave, as a share of the largest number there, at least 1:
# decoding JPEG may differ between CPUs, arithmetic not.
TOLERANCE, TOLERANCE_DECODED = 1e-5, 2e-3


def answer_problems(version: pathlib.Path, graph: Any, tensorflow: str | None = None) -> list[str]:
    """Loads a version in a clean process, and compares its answers to all warm-up requests.

    Args:
        version: folder of a version.
        graph: its MetaGraphDef.
        tensorflow: version of TensorFlow, such as "2.20.0"; None takes the one that is installed.

    Returns:
        One sentence for each thing that is off.
    """
    signatures = signatures_of(graph)
    try:
        samples = load_samples(version)
    except (FileNotFoundError, ValueError) as error:
        return [str(error)]
    if (sampled := {sample.signature for sample in samples}) != set(signatures):
        return [f"There are samples for {sorted(sampled)}, not for {sorted(signatures)}."]
    needs_text = needs_text_ops(graph.graph_def)
    python = None if tensorflow is None else interpreter(tensorflow, with_text=needs_text)
    libraries = text_libraries() if python is None else text_libraries_of(python)
    if unlike := [x for sample in samples if (x := _unlike(signatures[sample.signature], sample))]:
        return unlike
    requests = [_request(signatures[sample.signature], sample) for sample in samples]
    try:
        results = run(version, requests, libraries if needs_text else [], python)
    except ModelError as error:
        return [f"TensorFlow's C API does not load and run it: {error}"]
    problems = []
    for sample, result in zip(samples, results, strict=True):
        outputs = signatures[sample.signature].outputs
        answers = {key: result[outputs[key].name] for key in sample.outputs}
        problems += _differences(sample, answers)
    return list(dict.fromkeys(problems))


def _unlike(signature: Any, sample: Sample) -> str:
    """A sentence where the sample has other tensors than the signature."""
    pairs = ((signature.inputs, sample.inputs), (signature.outputs, sample.outputs))
    for wanted, given in pairs:
        if set(wanted) != set(given):
            return f"A sample of {sample.signature} has {sorted(given)}, not {sorted(wanted)}."
    return ""


def _request(signature: Any, sample: Sample) -> tuple[Arrays, list[str]]:
    inputs = {signature.inputs[key].name: value for key, value in sample.inputs.items()}
    return inputs, [signature.outputs[key].name for key in sample.outputs]


def _differences(sample: Sample, answers: Arrays) -> list[str]:
    tolerance = TOLERANCE_DECODED if "image_bytes" in sample.inputs else TOLERANCE
    problems = []
    for key, expected in sample.outputs.items():
        what, answer = f"{sample.signature}: {key}", answers[key]
        if answer.shape != expected.shape:
            problems.append(f"{what} has shape {answer.shape}, not {expected.shape}.")
        elif expected.dtype == bool:
            wrong = (answer != expected).sum()
            problems += [f"{what} differs from Keras in {wrong} rows."] if wrong else []
        elif expected.dtype != object:
            worst = np.abs(answer - expected).max(initial=0)
            most = tolerance * max(1.0, np.abs(expected).max(initial=0))
            if not worst <= most:  # NaN is not
                problems.append(f"{what} differs from Keras by {worst:g} > {most:g}.")
    if problems:
        return problems
    wrong = wrong_strings(sample.outputs, answers, tolerance)
    return [f"{sample.signature}: {x}: {n} strings differ from Keras." for x, n in wrong.items()]
