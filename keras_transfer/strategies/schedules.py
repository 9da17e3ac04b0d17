"""How the learning rate moves over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import keras

from keras_transfer.strategies.cyclical import CyclicalLearningRate, Mode

Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule


def warmup_cosine(
    peak: float, steps: int, warmup: float = 0.1
) -> keras.optimizers.schedules.CosineDecay:
    """Makes Keras's cosine decay to zero after a linear warm-up: the safe choice.

    Reference: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR
    2017. Goyal et al., "Accurate, Large Minibatch SGD", 2017, for the warm-up.

    Args:
        peak: float above 0. The highest learning rate, reached at the end of the warm-up.
        steps: int, at least 1. Batches of the whole training.
        warmup: float from 0 to below 1. The share of the steps in which the rate rises, by even
            amounts from the first step on; at least one step.

    Returns:
        A `keras.optimizers.schedules.CosineDecay`; it stays at zero after the last step.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> schedule = kx.warmup_cosine(1e-3, steps=100)
    >>> [round(float(schedule(step)), 6) for step in (0, 5, 10, 55, 100)]
    [9.1e-05, 0.000545, 0.001, 0.0005, 0.0]
    """
    _check_course(peak, steps, warmup)
    rising = max(1, round(warmup * steps))
    # Not from zero, or a stage of one step would train nothing.
    return keras.optimizers.schedules.CosineDecay(
        peak / (rising + 1), max(1, steps - rising), warmup_target=peak, warmup_steps=rising
    )


@keras.saving.register_keras_serializable("keras_transfer")
class OneCycle(Schedule):
    """One rise to a high rate and one long fall far below the first, each along a cosine.

    The rate's half of the one-cycle policy, with the cosines that fastai made common. Momentum
    does not cycle: Keras's optimizers hold it as a Python number that is fixed when `fit` traces
    its first step.

    Reference: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
    Large Learning Rates", 2018.

    Args:
        peak: float above 0. The highest learning rate.
        steps: int, at least 1. Batches of the whole training. After them the rate stays at
            `peak / end_divisor`.
        warmup: float from 0 to below 1. The share of the steps in which the rate rises.
        start_divisor: float, at least 1. The first rate is `peak / start_divisor`.
        end_divisor: float, at least 1. The last rate is `peak / end_divisor`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> schedule = kx.OneCycle(1.0, steps=100)
    >>> [round(float(schedule(step)), 4) for step in (0, 25, 100)]
    [0.04, 1.0, 0.0001]
    """

    def __init__(
        self,
        peak: float,
        steps: int,
        warmup: float = 0.25,
        start_divisor: float = 25.0,
        end_divisor: float = 1e4,
    ):
        super().__init__()
        _check_course(peak, steps, warmup)
        if not min(start_divisor, end_divisor) >= 1 or math.isinf(max(start_divisor, end_divisor)):
            raise ValueError(
                "Expected `start_divisor` and `end_divisor` to be finite and at least 1. Received: "
                f"start_divisor={start_divisor}, end_divisor={end_divisor}."
            )
        self.peak = peak
        self.steps = steps
        self.warmup = warmup
        self.start_divisor = start_divisor
        self.end_divisor = end_divisor

    def __call__(self, step: Any) -> Any:
        """The rate of a step, float32.

        Args:
            step: int or int tensor, from 0.
        """
        done = keras.ops.cast(step, "float32") / self.steps
        rising = _cosine(self.peak / self.start_divisor, self.peak, done / (self.warmup or 1.0))
        fall = (done - self.warmup) / (1 - self.warmup)
        falling = _cosine(self.peak, self.peak / self.end_divisor, fall)
        return keras.ops.where(done < self.warmup, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup": self.warmup,
            "start_divisor": self.start_divisor,
            "end_divisor": self.end_divisor,
        }


def make_schedule(
    schedule: str | Callable[[float, int], Schedule | float], peak: float, steps: int
) -> Schedule | float:
    """The schedule of a name, for a training of so many steps.

    Args:
        schedule: "cosine" for `warmup_cosine`; "one_cycle" for `OneCycle`; "constant" for the
            peak itself, which callbacks such as `ReduceLROnPlateau` can change; "triangular" or
            "triangular2" for four cycles of `CyclicalLearningRate` from a quarter of the peak, as
            its paper advises; or a function from peak and steps to a Keras schedule or a float.
        peak: float above 0. The highest learning rate.
        steps: int, at least 1. Batches of the whole training.

    Raises:
        ValueError: if there is no such schedule.
    """
    if callable(schedule) and not isinstance(
        schedule, keras.optimizers.schedules.LearningRateSchedule
    ):
        return schedule(peak, steps)
    if schedule not in _NAMED:
        raise ValueError(
            f"Expected `schedule` to be one of {list(_NAMED)}, or a function from the peak and the "
            f"number of steps to a Keras schedule or a float. Received: {schedule!r}."
        )
    return _NAMED[schedule](peak, steps)


def _cycles(mode: Mode) -> Callable[[float, int], CyclicalLearningRate]:
    return lambda peak, steps: CyclicalLearningRate(
        peak / 4, peak, max(1, round(steps / 8)), mode=mode
    )


_NAMED: dict[Any, Callable[[float, int], Schedule | float]] = {
    "cosine": warmup_cosine,
    "one_cycle": OneCycle,
    "constant": lambda peak, steps: peak,
    "triangular": _cycles("triangular"),
    "triangular2": _cycles("triangular2"),
}


def _cosine(start: float, end: float, share: Any) -> Any:
    """Half a cosine from one value to the other, and the other from then on."""
    share = keras.ops.clip(share, 0.0, 1.0)
    return end + (start - end) * (1.0 + keras.ops.cos(math.pi * share)) / 2


def _check_course(peak: float, steps: int, warmup: float) -> None:
    if not 0 < peak < math.inf:
        raise ValueError(f"Expected `peak` to be finite and above 0. Received: peak={peak}.")
    if steps != int(steps) or steps < 1:
        raise ValueError(f"Expected `steps` to be an int, at least 1. Received: steps={steps}.")
    if not 0 <= warmup < 1:
        raise ValueError(f"Expected 0 <= `warmup` < 1. Received: warmup={warmup}.")
