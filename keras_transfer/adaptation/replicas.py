"""Batches of all replicas, so that what compares examples compares all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def num_replicas() -> int:
    """How many replicas run beside this one, itself included; 1 outside of a strategy."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def gathered(batches: Sequence[Any]) -> list[Any]:
    """The rows of all replicas, in their order; differentiable, whatever each has of rows.

    The gradient of what each replica computes on the rows of all is, summed over replicas as
    Keras does, that of one device times their number: divide the loss by `num_replicas()`.

    Everything goes through one collective operation: of several, which depend on nothing of each
    other, replicas may begin with different ones, and TensorFlow then aborts.

    Args:
        batches: structures of tensors `[n, ...]` of known shape but for n, numbers that float32
            holds; each batch has its own n. Anything else in them passes through.
    """
    if num_replicas() == 1:
        return list(batches)
    matrices = [_matrix(_tensors(batch)) for batch in batches]
    widths = [matrix.shape[1] for matrix in matrices]
    # Rows of all batches, one upon the other, with the number of their batch.
    numbered = [
        tf.pad(matrix, [[0, 0], [0, max(widths) - width + 1]], constant_values=number)
        for number, (matrix, width) in enumerate(zip(matrices, widths, strict=True))
    ]
    rows = tf.distribute.get_replica_context().all_gather(tf.concat(numbered, 0), 0)
    rows = tf.ensure_shape(rows, [None, max(widths) + 1])
    return [
        _like(batch, tf.boolean_mask(rows, rows[:, -1] == number)[:, :width])
        for number, (batch, width) in enumerate(zip(batches, widths, strict=True))
    ]


def _tensors(batch: Any) -> list[tf.Tensor]:
    return [part for part in tf.nest.flatten(batch) if tf.is_tensor(part)]


def _matrix(tensors: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(tf.cast(x, tf.float32), [-1, _width(x)]) for x in tensors], 1)


def _like(batch: Any, rows: tf.Tensor) -> Any:
    """The batch, with the columns of these rows in the place of its tensors."""
    columns = iter(tf.split(rows, [_width(x) for x in _tensors(batch)], axis=1))

    def part(old: Any) -> Any:
        if not tf.is_tensor(old):
            return old
        return tf.cast(tf.reshape(next(columns), [-1, *old.shape[1:]]), old.dtype)

    return tf.nest.map_structure(part, batch)


def _width(tensor: tf.Tensor) -> int:
    return tensor.shape[1:].num_elements()
