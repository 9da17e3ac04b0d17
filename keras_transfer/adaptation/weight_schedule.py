"""How much a term weighs as training goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import keras
import tensorflow as tf

# From the share of training that is done, a scalar from 0 to 1, to a factor of the weight.
WeightSchedule = Callable[[tf.Tensor], tf.Tensor]
ScheduleName = Literal["ramp", "constant"]


def weight_schedule(schedule: ScheduleName | WeightSchedule) -> WeightSchedule:
    """The schedule of that name, or the one given.

    Raises:
        ValueError: if there is none of that name.
    """
    known: dict[str, WeightSchedule] = {"ramp": ramp, "constant": tf.ones_like}
    if callable(schedule):
        return schedule
    if schedule not in known:
        raise ValueError(
            f"Expected `schedule` to be one of {list(known)}, or a function from the share of "
            f"training that is done, 0 to 1, to a factor. Received: schedule={schedule!r}."
        )
    return known[schedule]


def ramp(progress: tf.Tensor) -> tf.Tensor:
    """2 / (1 + exp(-10 progress)) - 1, from 0 to 1.

    Reference: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016.
    """
    return 2.0 / (1.0 + tf.exp(-10.0 * progress)) - 1.0


def batches_seen(optimizer: Any) -> tf.Tensor:
    """How many batches an optimizer has had up to its last update, a float32 scalar."""
    innermost = optimizer
    while hasattr(innermost, "inner_optimizer"):
        innermost = innermost.inner_optimizer
    # Keras counts updates, of which one may take the gradients of several batches.
    accumulated = innermost.gradient_accumulation_steps or 1
    return tf.cast(tf.convert_to_tensor(optimizer.iterations), tf.float32) * accumulated


class ScheduledWeight(keras.layers.Layer):
    """A term's weight as training goes on; where training is, is saved with a model.

    Args:
        weight: float of at least 0.
        schedule: see `weight_schedule`.

    Raises:
        ValueError: if the weight is negative or no finite number, or there is no such schedule.
    """

    def __init__(self, weight: float, schedule: ScheduleName | WeightSchedule):
        super().__init__(dtype="float32")
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"Expected `weight` to be finite and at least 0. Received: {weight}.")
        self.weight = weight
        self._factor = weight_schedule(schedule)
        # Of the optimizer's batches the one where training began, and how many training has.
        self._first, self._batches = (
            self.add_weight(name=name, initializer="zeros", trainable=False)
            for name in ("first_batch", "batches")
        )
        self.built = True

    def plan(self, optimizer: Any, before: int, in_all: int) -> None:
        """Begins training, of which so many batches were done before, of so many in all."""
        self._first.assign(batches_seen(optimizer) - float(before))
        self._batches.assign(in_all)

    def now(self, optimizer: Any) -> tf.Tensor:
        """The weight, a scalar; in full without training, as when a model is evaluated."""
        if optimizer is None:
            return self.weight * self._factor(tf.ones([]))
        batches = tf.convert_to_tensor(self._batches)
        done = batches_seen(optimizer) - tf.convert_to_tensor(self._first)
        progress = tf.where(batches > 0, done / tf.maximum(batches, 1.0), 1.0)
        return self.weight * self._factor(tf.clip_by_value(progress, 0.0, 1.0))
