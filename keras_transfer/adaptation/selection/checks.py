"""What scores are made from, checked: probabilities, labels, features."""

from __future__ import annotations

from typing import Any

import numpy as np

# Rows of bfloat16, which has 8 bits, add up to 1 within this.
_TOLERANCE = 1e-2


def check_probabilities(probabilities: Any, name: str = "probabilities") -> np.ndarray:
    """The probabilities in float64, each row divided by its sum.

    Args:
        probabilities: array `[n, classes]`.
        name: what the caller calls them.

    Raises:
        ValueError: if there is no row or less than two classes, a number is not from 0 to 1, or a
            row does not add up to 1.
    """
    values = _numbers(probabilities, name)
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise ValueError(
            f"Expected `{name}` of shape (examples, classes), of at least 1 example and 2 classes. "
            f"Received: shape {values.shape}."
        )
    _check_finite(values, name)
    low, high = values.min(), values.max()
    sums = values.sum(1)
    furthest = sums[np.abs(sums - 1).argmax()]
    if low < -_TOLERANCE or high > 1 + _TOLERANCE or abs(furthest - 1) > _TOLERANCE:
        raise ValueError(
            f"Expected `{name}` from 0 to 1 whose rows add up to 1, such as softmax makes of "
            f"logits. Received: numbers from {low:.4g} to {high:.4g}, a row that adds up to "
            f"{furthest:.4g}."
        )
    values = np.clip(values, 0, None)
    return values / values.sum(1, keepdims=True)


def check_labels(labels: Any, classes: int, examples: int, name: str = "labels") -> np.ndarray:
    """Labels as a vector of ints; one-hot labels, and those of shape `[n, 1]`, become one.

    Raises:
        ValueError: if there is not one for each example, or a label is no class.
    """
    values = np.asarray(labels)
    if values.ndim == 2 and values.shape[1] == classes:
        values = values.argmax(1)
    values = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
    if values.shape != (examples,):
        raise ValueError(
            f"Expected `{name}` to be one int for each of {examples} examples, or rows of "
            f"{classes} classes. Received: shape {np.shape(labels)}."
        )
    whole = np.issubdtype(values.dtype, np.number) and (values == values.astype("int64")).all()
    if not whole or values.min(initial=0) < 0 or values.max(initial=0) >= classes:
        raise ValueError(
            f"Expected `{name}` from 0 to {classes - 1}. Received: {_some(values)} of type "
            f"{values.dtype}."
        )
    return values.astype("int64")


def check_features(features: Any, name: str = "features", examples: int | None = None) -> Any:
    """Features as a float64 array `[n, width]`.

    Args:
        features: array.
        name: what the caller calls them.
        examples: how many there have to be; None for any number from 1.

    Raises:
        ValueError: if they have another shape, or hold no numbers.
    """
    values = _numbers(features, name)
    fits = values.ndim == 2 and min(values.shape) > 0
    if not fits or (examples is not None and len(values) != examples):
        raise ValueError(
            f"Expected `{name}` of shape ({examples or 'examples'}, width), pooled over places. "
            f"Received: shape {values.shape}."
        )
    _check_finite(values, name)
    return values


def _numbers(given: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(given).astype("float64")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected `{name}` to be an array of numbers. Received: {type(given).__name__}, "
            f"{error}"
        ) from error


def _check_finite(values: np.ndarray, name: str) -> None:
    wrong = int((~np.isfinite(values)).any(1).sum())
    if wrong:
        raise ValueError(
            f"Expected `{name}` without NaN and infinities: training has diverged where a model "
            f"gives them. Received: {wrong} such rows of {len(values)}."
        )


def _some(values: np.ndarray) -> str:
    return f"{values[:5].tolist()}{'...' if len(values) > 5 else ''}"
