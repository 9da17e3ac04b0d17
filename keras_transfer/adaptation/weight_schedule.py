"""How much a term weighs as training goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

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


def check_weight(weight: float) -> None:
    """Refuses what is no weight of a term.

    Raises:
        ValueError: if it is negative or no finite number.
    """
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"Expected `weight` to be finite and at least 0. Received: {weight}.")
