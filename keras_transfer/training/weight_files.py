"""Weights in NumPy's format, as HDF5 answers a full disk with a crash; what is frozen only once."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Collection, Iterable, Sequence
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
        # Places of those that may be other than in the shared file.
        self._watched: set[int] = set()

    def save(
        self,
        path: pathlib.Path,
        variables: Sequence[keras.Variable],
        in_training: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Writes the values of variables, in their order; the same variables each time.

        Args:
            path: file to write.
            variables: all of them.
            in_training: those that can have changed since the last time; None for all. To read all
                of a large network costs more than an epoch of a small head on its features.
        """
        if self._digests is None:
            arrays = dict(enumerate(map(_array, variables)))
            self._digests = self._digests_of_shared(arrays.values())
        else:
            places = self._to_read(variables, in_training)
            arrays = {index: _array(variables[index]) for index in places}
        changed: dict[str, Any] = {}
        for index, array in arrays.items():
            if variables[index].trainable or _digest(array) != self._digests[index]:
                changed[f"arr_{index}"] = array
                self._watched.add(index)
        np.savez(path, **changed)

    def _digests_of_shared(self, arrays: Collection[np.ndarray]) -> list[bytes]:
        """Of what the shared file has; it is written if it is not there."""
        if self._shared.is_file():
            return [_digest(array) for array in load_arrays(self._shared)]
        with replacing(self._shared) as temporary:
            np.savez(temporary, *arrays)
        return [_digest(array) for array in arrays]

    def _to_read(
        self,
        variables: Sequence[keras.Variable],
        in_training: Sequence[keras.Variable] | None,
    ) -> Iterable[int]:
        if in_training is None:
            return range(len(variables))
        trained = set(map(id, in_training))
        self._watched |= {index for index, x in enumerate(variables) if id(x) in trained}
        return sorted(self._watched)

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
