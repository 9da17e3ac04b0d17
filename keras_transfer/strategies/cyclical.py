"""A learning rate that goes up and down."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import keras

Mode = Literal["triangular", "triangular2", "exp_range"]


@keras.saving.register_keras_serializable("keras_transfer")
class CyclicalLearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that goes up and down between two bounds, in straight lines.

    For trainings without a planned end: each cycle ends at the low rate, where the weights are
    worth keeping.

    Reference: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017.

    Args:
        low: float, at least 0. The rate at both ends of a cycle.
        high: float above `low`. The rate in the middle of the first cycle.
        step_size: int, at least 1. Batches of half a cycle; the paper advises those of 2 to 10
            epochs.
        mode: "triangular" for equal cycles; "triangular2" halves the height after each;
            "exp_range" multiplies the height by `gamma` at each step.
        gamma: float above 0, at most 1. For "exp_range".

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> schedule = kx.CyclicalLearningRate(0.1, 0.5, step_size=2, mode="triangular2")
    >>> [round(float(schedule(step)), 3) for step in range(9)]
    [0.1, 0.3, 0.5, 0.3, 0.1, 0.2, 0.3, 0.2, 0.1]
    """

    def __init__(
        self,
        low: float,
        high: float,
        step_size: int,
        mode: Mode = "triangular",
        gamma: float = 0.99994,
    ):
        super().__init__()
        if not 0 <= low < high < math.inf:
            raise ValueError(f"Expected 0 <= `low` < `high`. Received: low={low}, high={high}.")
        if step_size != int(step_size) or step_size < 1:
            raise ValueError(
                f"Expected `step_size` to be an int, at least 1. Received: step_size={step_size}."
            )
        if mode not in get_args(Mode):
            raise ValueError(f"Expected `mode` to be one of {get_args(Mode)}. Received: {mode!r}.")
        if not 0 < gamma <= 1:
            raise ValueError(f"Expected 0 < `gamma` <= 1. Received: gamma={gamma}.")
        self.low = low
        self.high = high
        self.step_size = step_size
        self.mode = mode
        self.gamma = gamma

    def __call__(self, step: Any) -> Any:
        """The rate of a step, float32.

        Args:
            step: int or int tensor, from 0.
        """
        # Whole numbers up to the last division: a float32 count of steps would lose the phase.
        step = keras.ops.cast(step, "int64")
        place = keras.ops.cast(step % (2 * self.step_size), "float32")
        height = 1.0 - keras.ops.abs(place / self.step_size - 1.0)
        if self.mode == "triangular2":
            height *= 0.5 ** keras.ops.cast(step // (2 * self.step_size), "float32")
        elif self.mode == "exp_range":
            height *= keras.ops.exp(keras.ops.cast(step, "float32") * math.log(self.gamma))
        return self.low + (self.high - self.low) * height

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "low": self.low,
            "high": self.high,
            "step_size": self.step_size,
            "mode": self.mode,
            "gamma": self.gamma,
        }
