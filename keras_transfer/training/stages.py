"""A strategy laid out: which flags, how many epochs, how fast, in which batches."""

from __future__ import annotations

import dataclasses
import numbers

import keras
import tensorflow as tf

from keras_transfer.strategies.strategy import Part, Strategy
from keras_transfer.training.checkpoints import Progress


@dataclasses.dataclass(frozen=True)
class Stage:
    """One `apply`, `compile` and `fit`.

    Attributes:
        part: the part of the strategy that it belongs to.
        number: which of the part's stages it is.
        epochs: how many.
        learning_rate: peak of the schedule.
    """

    part: Part
    number: int
    epochs: int
    learning_rate: float

    @property
    def strategy(self) -> Strategy:
        """Sets the flags."""
        return self.part.strategy

    def done(self, progress: Progress) -> bool:
        """Whether all its epochs are trained, or early stopping has ended it."""
        return progress.stopped or progress.epochs >= self.epochs

    def batches(self, train: tf.data.Dataset) -> tf.data.Dataset:
        """The dataset in batches of the part's size."""
        size = self.part.batch_size
        return train if size is None else train.rebatch(size)

    def apply(self, model: keras.Model) -> None:
        """Sets the `trainable` flags."""
        self.strategy.apply(model, self.number)


def plan_stages(strategy: Strategy, epochs: int, learning_rate: float | None) -> list[Stage]:
    """Divides epochs among the stages of a strategy and settles their learning rates.

    Args:
        strategy: kx.Strategy.
        epochs: for all stages together whose part has no number of its own.
        learning_rate: for all parts without one of their own; None for the strategies' defaults.

    Raises:
        ValueError: if there are fewer epochs than stages that share them, or a learning rate is
            not above 0.
    """
    if epochs < 1:
        raise ValueError(f"Expected `epochs` to be at least 1. Received: epochs={epochs}.")
    if learning_rate is not None and not (
        isinstance(learning_rate, numbers.Real) and learning_rate > 0
    ):
        raise ValueError(
            "Expected `learning_rate` to be a number above 0; how it moves is `schedule`. "
            f"Received: {learning_rate!r}."
        )
    parts = strategy.parts()
    sharing = sum(part.strategy.num_stages for part in parts if part.epochs is None)
    if epochs < sharing:
        raise ValueError(
            f"Expected at least one epoch for each of {sharing} stages. Received: epochs={epochs}."
        )
    shares = iter(_divided(epochs, sharing))
    stages = []
    for part in parts:
        count = part.strategy.num_stages
        own = shares if part.epochs is None else iter(_divided(part.epochs, count))
        rate = part.learning_rate or learning_rate or part.strategy.default_learning_rate
        stages += [Stage(part, number, next(own), rate) for number in range(count)]
    return stages


def _divided(epochs: int, stages: int) -> list[int]:
    """Evenly, the later ones longer where it does not come out even."""
    return [epochs * (number + 1) // stages - epochs * number // stages for number in range(stages)]
