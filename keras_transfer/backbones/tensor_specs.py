"""Shapes and dtypes in the form of JSON, in any structure of dicts and lists."""

from __future__ import annotations

from typing import Any

import keras


def to_specs(tensors: Any) -> Any:
    """The shape and dtype of each tensor."""
    return keras.tree.map_structure(
        lambda tensor: {
            "shape": list(tensor.shape),
            "dtype": keras.backend.standardize_dtype(tensor.dtype),
        },
        tensors,
    )


def from_specs(specs: Any) -> Any:
    """Symbolic tensors of these shapes and dtypes."""
    if isinstance(specs, dict) and specs.keys() == {"shape", "dtype"}:
        return keras.KerasTensor(tuple(specs["shape"]), specs["dtype"])
    if isinstance(specs, dict):
        return {name: from_specs(inner) for name, inner in specs.items()}
    return [from_specs(inner) for inner in specs]
