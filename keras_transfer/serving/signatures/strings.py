"""Strings in numpy, and arrays as REST takes them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np


def as_strings(texts: Sequence[bytes]) -> np.ndarray:
    """An object array, for numpy's own bytes type drops zeros at the end."""
    array = np.empty(len(texts), object)
    array[:] = list(texts)
    return array


def as_json(array: np.ndarray) -> Any:
    """Lists of numbers, or of strings in base64."""
    if array.dtype != object:
        return array.tolist()
    return [{"b64": base64.b64encode(text).decode()} for text in array]
