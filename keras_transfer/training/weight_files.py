"""Arrays in NumPy's format: HDF5 answers a full disk with a crash."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import keras
import numpy as np


def save_arrays(path: pathlib.Path, variables: Iterable[keras.Variable]) -> None:
    """Writes the values of variables, in their order."""
    np.savez(path, *map(_array, variables))


def load_arrays(path: pathlib.Path) -> list[np.ndarray]:
    """The values, in their order."""
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[f"arr_{index}"] for index in range(len(arrays.files))]


def _array(variable: keras.Variable) -> np.ndarray:
    """NumPy's files hold no bfloat16; float32 holds it exactly."""
    value = np.asarray(variable.numpy())
    return value if value.dtype.isbuiltin == 1 else value.astype("float32")
