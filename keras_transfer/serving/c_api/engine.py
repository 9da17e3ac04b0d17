"""Loads and runs versions in a process of its own, where nothing has imported TensorFlow."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_transfer.serving.c_api.frames import Arrays, read_frame, write_frame
from keras_transfer.serving.c_api.session import NUMBERS, ModelError

_TIMEOUT = 600
_MOST_SAID = 2000


class Engine:
    """A process that has sessions, one a version, and runs them for all threads that ask.

    A version that brings its process down takes those loaded with it; whoever waits gets a
    `ModelError`. Use it with `with`.

    Args:
        python: the interpreter, of an environment with TensorFlow and NumPy. None is this one.
    """

    def __init__(self, python: pathlib.Path | None = None):
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python or sys.executable), "-m", "keras_transfer.serving.c_api.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=_environment(python),
        )
        self._writing = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, concurrent.futures.Future[Arrays]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def load(self, model: str, path: pathlib.Path, op_libraries: Sequence[pathlib.Path]) -> None:
        """Loads a version under a name of the caller's.

        Args:
            model: str, the name.
            path: the folder with `saved_model.pb`.
            op_libraries: files of operations besides TensorFlow's own.

        Raises:
            ModelError: if it does not load.
        """
        libraries = [str(library) for library in op_libraries]
        told = {"do": "load", "model": model, "path": str(path), "op_libraries": libraries}
        self._answer(told, {})

    def run(self, model: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> Arrays:
        """Runs a loaded version.

        Args:
            model: str, its name.
            inputs: from names of tensors, such as "x:0", to arrays.
            outputs: the names of the tensors that are wanted.

        Returns:
            The wanted tensors by name.

        Raises:
            ModelError: if the version refuses it, or the process ends.
        """
        for name, array in inputs.items():
            if array.dtype != object and array.dtype.name not in NUMBERS:
                message = f"No version takes {array.dtype.name}, which {name} is."
                raise ModelError(message, ModelError.INVALID_ARGUMENT)
        told = {"do": "run", "model": model, "outputs": list(outputs)}
        return self._answer(told, dict(inputs))

    def unload(self, model: str) -> None:
        """Forgets a version, of which nothing may be running."""
        self._answer({"do": "unload", "model": model}, {})

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it has ended, and what was sent is lost
                self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _answer(self, told: dict[str, Any], arrays: Arrays) -> Arrays:
        try:
            return self._ask(told, arrays).result(_TIMEOUT)
        except concurrent.futures.TimeoutError as error:
            message = f"No answer to {told['do']!r} within {_TIMEOUT} seconds."
            raise ModelError(message, ModelError.UNAVAILABLE) from error

    def _ask(self, told: dict[str, Any], arrays: Arrays) -> concurrent.futures.Future[Arrays]:
        future: concurrent.futures.Future[Arrays] = concurrent.futures.Future()
        with self._writing:
            number = next(self._numbers)
            self._waiting[number] = future
            try:
                write_frame(self._process.stdin, {**told, "id": number}, arrays)  # type: ignore[arg-type]
            except OSError:
                self._end_waiting()
        return future

    def _read(self) -> None:
        while frame := read_frame(self._process.stdout):  # type: ignore[arg-type]
            told, arrays = frame
            future = self._waiting.pop(told["id"], None)
            if future is None:  # nobody waits any more
                continue
            if "error" in told:
                future.set_exception(ModelError(told["error"], told["code"]))
            else:
                future.set_result(arrays)
        with self._writing:
            self._end_waiting()

    def _end_waiting(self) -> None:
        if not self._waiting:
            return
        code = self._process.wait()
        self._said.seek(0)
        last = self._said.read()[-_MOST_SAID:].decode(errors="replace").strip()
        told = f"The process that runs the model has ended with status {code}. {last}"
        while self._waiting:
            self._waiting.popitem()[1].set_exception(ModelError(told, ModelError.UNAVAILABLE))


def run(
    version: pathlib.Path,
    requests: Sequence[tuple[Mapping[str, np.ndarray], Sequence[str]]],
    op_libraries: Sequence[pathlib.Path] = (),
    python: pathlib.Path | None = None,
) -> list[Arrays]:
    """Loads a version in a process that ends afterwards, and runs it.

    Args:
        version: the folder with `saved_model.pb`.
        requests: pairs of inputs and wanted outputs, as in `Engine.run`.
        op_libraries: as in `Engine.load`.
        python: as in `Engine`.

    Returns:
        For each request, the wanted tensors by name.

    Raises:
        ModelError: if the version does not load or run.
    """
    with Engine(python) as engine:
        engine.load("", version, op_libraries)
        return [engine.run("", *request) for request in requests]


def _environment(python: pathlib.Path | None) -> dict[str, str]:
    """No GPU; another interpreter gets this package's modules and nothing else of this one."""
    root = str(pathlib.Path(__file__).parents[3])
    paths = [root] if python else [path for path in sys.path if path]
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONPATH": os.pathsep.join(paths),
    }
