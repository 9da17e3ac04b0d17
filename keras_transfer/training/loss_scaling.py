"""Loss scaling in half precision that all replicas take part in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


def check_all_replicas(model: keras.Model) -> None:
    """Lets a compiled model skip a step where the gradients of any replica are not finite.

    Keras 3.15 asks the first replica alone, under the assumption that gradients were summed
    before, which its optimizers do afterwards; what overflows on another one reaches the weights:
    https://github.com/keras-team/keras/blob/v3.15.1/keras/src/optimizers/loss_scale_optimizer.py

    Args:
        model: keras.Model; without several replicas and loss scaling it stays as it is.
    """
    optimizer = model.optimizer
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return
    if model.distribute_strategy.num_replicas_in_sync == 1:
        return
    here = optimizer.check_finite

    def everywhere(gradients: Sequence[Any]) -> tf.Tensor:
        overflown = tf.cast(tf.logical_not(here(gradients)), tf.float32)
        context = tf.distribute.get_replica_context()
        return tf.equal(context.all_reduce(tf.distribute.ReduceOp.SUM, overflown), 0.0)

    # On the object, so that the saved model is made of Keras's own classes.
    optimizer.check_finite = everywhere
