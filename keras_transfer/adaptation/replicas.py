"""Batches of all replicas, so that what compares examples compares all of them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def num_replicas() -> int:
    """How many replicas run beside this one, itself included; 1 outside of a strategy."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def gathered(batch: Any) -> Any:
    """The rows of all replicas, in their order; differentiable, whatever each has of rows.

    The gradient of what each replica computes on the rows of all is, summed over replicas as
    Keras does, that of one device times their number: divide the loss by `num_replicas()`.

    Args:
        batch: structure of tensors `[n, ...]`; anything else in it passes through.
    """
    if num_replicas() == 1:
        return batch
    context = tf.distribute.get_replica_context()

    def of_all(part: Any) -> Any:
        if not tf.is_tensor(part):
            return part
        # Which forgets the shape, of which methods take widths.
        return tf.ensure_shape(context.all_gather(part, 0), [None, *part.shape[1:]])

    return tf.nest.map_structure(of_all, batch)
