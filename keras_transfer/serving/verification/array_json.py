"""Arrays as JSON, strings included, to pass them between processes without pickle."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def to_json(array: np.ndarray) -> dict[str, Any]:
    """Strings are object arrays of bytes."""
    if array.dtype == object:
        texts = [base64.b64encode(text).decode() for text in array.ravel()]
        return {"type": "bytes", "shape": array.shape, "data": texts}
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"type": str(array.dtype), "shape": array.shape, "data": data}


def from_json(value: dict[str, Any]) -> np.ndarray:
    """The array that `to_json` was given."""
    if value["type"] == "bytes":
        array = np.empty(len(value["data"]), object)
        array[:] = [base64.b64decode(text) for text in value["data"]]
        return array.reshape(value["shape"])
    data = base64.b64decode(value["data"])
    return np.frombuffer(data, value["type"]).reshape(value["shape"])
