"""How the tensors that a frozen part gives for one example lie in a row of bytes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.models.exactness import NotExactError

StoredDtype = Literal["float32", "float16", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class Part:
    """One tensor of a row.

    Attributes:
        shape: of one example.
        dtype: tf.DType, as the frozen part gives it.
        stored: tf.DType on the disk.
    """

    shape: tuple[int, ...]
    dtype: tf.DType
    stored: tf.DType

    @property
    def num_bytes(self) -> int:
        """How many bytes it takes."""
        return math.prod(self.shape) * self.stored.size


@dataclasses.dataclass(frozen=True)
class Layout:
    """The tensors of a row, one behind the other.

    Attributes:
        parts: of each tensor.
    """

    parts: tuple[Part, ...]

    @property
    def row_bytes(self) -> int:
        """How long a row is."""
        return sum(part.num_bytes for part in self.parts)

    def pack(self, features: Sequence[tf.Tensor]) -> np.ndarray:
        """Rows of a batch, uint8 `(batch, row_bytes)`.

        Raises:
            ValueError: if a number is too large for the dtype that it is stored in.
        """
        columns = []
        for part, tensor in zip(self.parts, features, strict=True):
            stored = tf.cast(tensor, part.stored).numpy()
            if part.stored != part.dtype and not np.isfinite(stored.astype("float32")).all():
                raise ValueError(
                    f"Expected features that {part.stored.name} can hold; take 'bfloat16' or "
                    f"'float32'. Received: up to {float(tf.reduce_max(tf.abs(tensor))):g}."
                )
            columns.append(np.ascontiguousarray(stored).reshape(len(stored), -1).view(np.uint8))
        return np.concatenate(columns, axis=1)

    def unpack(self, rows: tf.Tensor) -> Any:
        """The tensors in rows, uint8 `(batch, row_bytes)`; a tuple where there are several."""
        tensors, start = [], 0
        for part in self.parts:
            column = rows[:, start : start + part.num_bytes]
            start += part.num_bytes
            tensors.append(_restore(column, part))
        return tensors[0] if len(tensors) == 1 else tuple(tensors)


def layout_of(frozen_part: keras.Model, dtype: StoredDtype | None) -> Layout:
    """The layout of what a model gives.

    Args:
        frozen_part: functional.
        dtype: of floats on the disk; None as they are.

    Raises:
        NotExactError: if an output has no fixed shape.
        ValueError: if there is no such dtype.
    """
    check_dtype(dtype)
    parts = []
    for output in frozen_part.outputs:
        shape, given = output.shape[1:], tf.as_dtype(output.dtype)
        if None in shape:
            raise NotExactError(
                f"Expected features of one fixed shape. Received: {output.shape}, from inputs of "
                f"shape {frozen_part.input_shape}."
            )
        if given == tf.string:
            raise NotExactError(f"Expected features that are numbers. Received: {output}.")
        stored = tf.as_dtype(dtype) if dtype and given.is_floating else given
        parts.append(Part(tuple(shape), given, stored))
    return Layout(tuple(parts))


def check_dtype(dtype: str | None) -> None:
    """Raises a `ValueError` unless floats can be stored so."""
    if dtype is not None and dtype not in get_args(StoredDtype):
        raise ValueError(
            f"Expected `dtype` to be None or one of {get_args(StoredDtype)}. Received: {dtype!r}."
        )


def _restore(column: tf.Tensor, part: Part) -> tf.Tensor:
    shape = [-1, *part.shape]
    if part.stored == tf.bool:
        return tf.reshape(tf.cast(column, tf.bool), shape)
    if part.stored.size > 1:
        column = tf.reshape(column, [-1, math.prod(part.shape), part.stored.size])
    return tf.cast(tf.reshape(tf.bitcast(column, part.stored), shape), part.dtype)
