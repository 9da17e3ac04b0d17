"""Versions that are loaded, with their states, and which of them a request gets."""

from __future__ import annotations

import contextlib
import pathlib
import threading
from typing import Any

from keras_transfer.serving.c_api.engine import Engine
from keras_transfer.serving.c_api.session import ModelError
from keras_transfer.serving.verification.ops import needs_text_ops, text_libraries
from keras_transfer.serving.verification.problems import VerificationError
from keras_transfer.serving.verification.saved_graph import served_graph
from keras_transfer.serving.versions.warmup import FILE, MOST_REQUESTS, load_samples

LOADING, AVAILABLE, UNLOADING, END = "LOADING", "AVAILABLE", "UNLOADING", "END"
# As TF Serving, which fails the load of a version with more.


class ServedVersion:
    """One version: loaded, warmed up, asked by many, unloaded when the last one has its answer.

    Args:
        name: of the model.
        number: of the version.
        path: its folder.
    """

    def __init__(self, name: str, number: int, path: pathlib.Path):
        self.name, self.number, self.path = name, number, path
        self.state, self.error = LOADING, ModelError("", 0)
        self.signatures: dict[str, Any] = {}
        self._uses, self._changed = 0, threading.Condition()
        self._engine: Engine | None = None

    def load(self, engine: Engine) -> None:
        """Loads and warms up; what goes wrong is noted, and the state is END then."""
        try:
            graph = served_graph(self.path)
            self.signatures = dict(graph.signature_def)
            libraries = text_libraries() if needs_text_ops(graph.graph_def) else []
            engine.load(self._key, self.path, libraries)
            self._engine = engine
            self._warm_up()
            self.state = AVAILABLE
        except (ModelError, OSError, KeyError, ValueError, VerificationError) as error:
            self.error = error if isinstance(error, ModelError) else ModelError(str(error))
            self._forget()
            self.state = END

    def run(self, inputs: dict[str, Any], outputs: list[str]) -> dict[str, Any]:
        """Runs tensors by their names in the graph; only between `acquire` and `release`."""
        if self._engine is None:
            raise ModelError(f"{self.name} is not loaded.", ModelError.UNAVAILABLE)
        return self._engine.run(self._key, inputs, outputs)

    def acquire(self) -> bool:
        """Keeps it loaded, if it is available."""
        with self._changed:
            if self.state != AVAILABLE:
                return False
            self._uses += 1
            return True

    def release(self) -> None:
        """Ends what `acquire` began."""
        with self._changed:
            self._uses -= 1
            self._changed.notify_all()

    def unload(self) -> None:
        """Lets nobody in any more, waits for those that are, and frees the memory."""
        with self._changed:
            self.state = UNLOADING
            self._changed.wait_for(lambda: self._uses == 0)
        self._forget()
        self.state = END

    @property
    def _key(self) -> str:
        return f"{self.name}/{self.number}"

    def _warm_up(self) -> None:
        if not (self.path / FILE).is_file():
            return
        samples = load_samples(self.path)
        if len(samples) > MOST_REQUESTS:
            raise ValueError(f"There are more than {MOST_REQUESTS} warm-up requests.")
        for sample in samples:
            signature = self.signatures[sample.signature]
            inputs = {signature.inputs[name].name: x for name, x in sample.inputs.items()}
            self.run(inputs, [tensor.name for tensor in signature.outputs.values()])

    def _forget(self) -> None:
        if self._engine is not None and self._engine.alive:
            with contextlib.suppress(ModelError):  # it may die at this moment
                self._engine.unload(self._key)
        self._engine = None
