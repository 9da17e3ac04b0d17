"""Weights in NumPy's format, as HDF5 answers a full disk with a crash; what is frozen only once."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_transfer._atomic import replacing


def save_arrays(path: pathlib.Path, variables: Iterable[keras.Variable]) -> None:
    """Writes the values of variables, in their order."""
    np.savez(path, *map(_array, variables))


def load_arrays(path: pathlib.Path) -> list[np.ndarray]:
    """The values, in their order."""
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[f"arr_{index}"] for index in range(len(arrays.files))]


class WeightFiles:
    """Files with the weights of one model at several times, beside one with what they share.

    What is frozen, most of a pretrained network as a rule, is written once; after that a file has
    what is trainable, and what else is not as it was. So an epoch of a head costs the head.

    Args:
        shared: file with all weights as they were when the first file was written; from an earlier
            process if it is there.
    """

    def __init__(self, shared: pathlib.Path):
        self._shared = shared
        self._digests: list[bytes] | None = None

    def save(self, path: pathlib.Path, variables: Sequence[keras.Variable]) -> None:
        """Writes the values of variables, in their order; the same variables each time."""
        if self._digests is None:
            if not self._shared.is_file():
                with replacing(self._shared) as temporary:
                    save_arrays(temporary, variables)
            self._digests = [_digest(array) for array in load_arrays(self._shared)]
        changed: dict[str, Any] = {}
        for index, (variable, digest) in enumerate(zip(variables, self._digests, strict=True)):
            array = _array(variable)
            if variable.trainable or _digest(array) != digest:
                changed[f"arr_{index}"] = array
        np.savez(path, **changed)

    def load(self, path: pathlib.Path) -> list[np.ndarray]:
        """The values, in their order."""
        with np.load(self._shared) as shared, np.load(path) as changed:
            names = [f"arr_{index}" for index in range(len(shared.files))]
            return [(changed if name in changed.files else shared)[name] for name in names]


def _array(variable: keras.Variable) -> np.ndarray:
    """NumPy's files hold no bfloat16; float32 holds it exactly."""
    value = np.asarray(variable.numpy())
    return value if value.dtype.isbuiltin == 1 else value.astype("float32")


def _digest(array: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).data).digest()
