"""Pictures that are already in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_transfer.data.resizing import Resize, check_resize
from keras_transfer.data.splits import Splits, make_splits
from keras_transfer.data.stratified import stratified_indices


def arrays(
    x: Any,
    y: Any,
    *,
    class_names: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.0,
    seed: int = 0,
    resize: Resize = "stretch",
) -> Splits:
    """Makes datasets of pictures and labels that are already in memory.

    Args:
        x: array `(n, height, width, 3)`, or `(n, height, width[, 1])` for grey pictures; values
            from 0 to 255, uint8 or float.
        y: array of `n` labels: class names, or ints from 0 for classes; floats for numbers to be
            predicted; or `(n, classes)` of 0 and 1 where several classes may hold at once.
        class_names: list of str. The name of each int label or column. Defaults to the names in
            `y`, or to "0", "1", ...
        image_size: tuple (height, width) in pixels. Defaults to that of `x`.
        batch_size: int, at least 1.
        validation_split: float from 0 to 1. Share of the examples for `validation`.
        test_split: float from 0 to 1. Share of the examples for `test`.
        seed: int. Of the split (stratified for classes) and of the order while training.
        resize: "stretch", "crop" or "pad"; see `kx.image_folder`.

    Returns:
        `kx.Splits`.

    Raises:
        ValueError: if shapes or lengths do not fit, labels are out of range or unknown, or
            values are not finite.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> x, y = np.zeros([10, 8, 8, 3], "uint8"), ["cat", "dog"] * 5
    >>> data = kx.arrays(x, y, validation_split=0.4)
    >>> data.class_names, sorted(int(label) for _, batch in data.validation for label in batch)
    (['cat', 'dog'], [0, 0, 1, 1])
    """
    check_resize(resize)
    x, (labels, names) = _pictures(x), _labels(np.asarray(y), class_names)
    if len(x) != len(labels):
        raise ValueError(
            f"Expected as many pictures as labels. Received: {len(x)} and {len(labels)}."
        )
    shares = {"test": test_split, "validation": validation_split}
    stratify = names if labels.dtype == np.int32 and labels.ndim == 1 else ()
    parts = stratified_indices(labels, stratify, shares, seed)
    pictures, targets = tf.constant(x), tf.constant(labels)
    kept = pictures.numpy()  # what is trained on: the caller's array may change
    kind = f"{x.dtype.str} {x.shape[1:]}".encode()
    rgb = [*x.shape[1:3], 3]
    return make_splits(
        {part: tf.data.Dataset.from_tensor_slices(chosen) for part, chosen in parts.items()},
        picture=lambda index: tf.broadcast_to(pictures[index], rgb),
        label=lambda index: tf.gather(targets, index),
        contents=lambda part: (kind + kept[index].tobytes() for index in parts[part]),
        class_names=names,
        image_size=image_size or x.shape[1:3],
        resize=resize,
        batch_size=batch_size,
        seed=seed,
    )


# Resized pictures may overshoot by the precision of float32.
_ROUNDING = 1e-3


def _pictures(x: Any) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or not len(x):
        raise ValueError(
            "Expected `x` to be pictures of shape (n, height, width, 3), or (n, height, width) "
            f"for grey ones. Received: x with shape {x.shape}."
        )
    low, high = float(x.min()), float(x.max())
    if not (low >= -_ROUNDING and high <= 255 + _ROUNDING):
        raise ValueError(
            "Expected pixels from 0 to 255, as they were before any preprocessing (the backbone "
            f"brings its own). Received: x from {low:g} to {high:g}."
        )
    if np.issubdtype(x.dtype, np.floating) and 0 < high <= 1:
        warnings.warn(
            f"Expected pixels from 0 to 255, but `x` goes from {low:g} to {high:g}: if it was "
            "divided by 255, multiply it back.",
            stacklevel=3,
        )
    return x


def _labels(y: np.ndarray, class_names: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """Labels as the model needs them, and the class names (none for numbers to be predicted)."""
    if y.dtype.kind in "USO" and y.ndim == 1:
        names = sorted({str(label) for label in y}) if class_names is None else list(class_names)
        unknown = sorted({str(label) for label in y} - set(names))
        if unknown:
            raise ValueError(f"Expected labels among {names}. Received also: {unknown}.")
        return np.array([names.index(str(label)) for label in y], np.int32), names
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"Expected finite labels. Received: {(~np.isfinite(y)).sum()} others.")
    if y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all():
        names = _names(y.shape[1], class_names)
        return y.astype(np.float32), names
    if y.dtype.kind == "f":
        return y.astype(np.float32), []
    return _class_indices(y, class_names)


def _class_indices(
    y: np.ndarray, class_names: Sequence[str] | None
) -> tuple[np.ndarray, list[str]]:
    names = list(class_names or _names(int(y.max()) + 1, None))
    if y.ndim != 1 or y.min() < 0 or y.max() >= len(names):
        raise ValueError(
            f"Expected one int label a picture, from 0 to {len(names) - 1} ({len(names)} classes). "
            f"Received: labels of shape {y.shape} from {y.min()} to {y.max()}."
        )
    return y.astype(np.int32), names


def _names(count: int, class_names: Sequence[str] | None) -> list[str]:
    names = list(class_names or map(str, range(count)))
    if len(names) != count:
        raise ValueError(f"Expected {count} class names. Received: {len(names)}, {names}.")
    return names
