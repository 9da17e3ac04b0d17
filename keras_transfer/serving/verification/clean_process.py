"""Starts `c_api` in a process of its own, where nothing has imported TensorFlow."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from keras_transfer.serving.verification.array_json import from_json, to_json
from keras_transfer.serving.verification.c_api import Arrays, LoadError

_TIMEOUT = 600


def run(
    version: pathlib.Path,
    requests: Sequence[tuple[Mapping[str, np.ndarray], list[str]]],
    op_libraries: Sequence[pathlib.Path] = (),
) -> list[Arrays]:
    """Loads a SavedModel in a clean process and runs it.

    Args:
        version: the folder with `saved_model.pb`.
        requests: pairs of inputs (tensor name, such as "x:0", to array) and names of the tensors
            that are wanted.
        op_libraries: files of operations besides TensorFlow's own.

    Returns:
        For each request, the wanted tensors by name.

    Raises:
        LoadError: if the model does not load or run.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = pathlib.Path(folder, "job.json")
        written = [
            {
                "inputs": {name: to_json(value) for name, value in inputs.items()},
                "outputs": outputs,
            }
            for inputs, outputs in requests
        ]
        libraries = [str(library) for library in op_libraries]
        told = {"version": str(version), "requests": written, "op_libraries": libraries}
        job.write_text(json.dumps(told))
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "keras_transfer.serving.verification.c_api", str(job)],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                env=environment | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )
        except subprocess.TimeoutExpired as error:
            raise LoadError(f"It did not answer within {_TIMEOUT} seconds.") from error
        if job.with_name("error.txt").is_file():
            raise LoadError(job.with_name("error.txt").read_text())
        if done.returncode:
            raise LoadError(done.stderr.strip()[-2000:] or f"exit status {done.returncode}")
        results = json.loads(job.with_name("results.json").read_text())
    return [{name: from_json(value) for name, value in result.items()} for result in results]
