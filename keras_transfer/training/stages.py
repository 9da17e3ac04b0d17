"""A strategy laid out: which flags, how many epochs, how fast, in which batches."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_transfer.adaptation.domain_adaptation import DomainAdaptation
from keras_transfer.data.domains import domains_of, paired_like
from keras_transfer.data.examples import examples_of, rebatched
from keras_transfer.strategies.strategy import Part, Strategy
from keras_transfer.training.checkpoints import Progress
from keras_transfer.training.trained_model import trained_model

DEFAULT_EPOCHS = 10


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
        """The dataset in batches of the part's size.

        Raises:
            ValueError: if it cannot be divided anew.
        """
        size = self.part.batch_size
        if size is None:
            return train
        domains = domains_of(train)
        if domains is not None:
            return paired_like(train, {name: self.batches(x) for name, x in domains.items()})
        pictures = train.element_spec[0]
        shape = getattr(pictures, "shape", None)  # none of a dict of pictures
        fixed = shape is not None and (shape.rank is None or None not in shape[1:])
        if not fixed and examples_of(train) is None:
            raise ValueError(
                "Expected pictures of one fixed size, or texts as this package gives them, where a "
                "part has its own `batch_size`: neither those of `kx.multi_scale` nor of "
                "`kx.joint_data` can be put into other batches. "
                f"Received: batch_size={size} with {pictures}."
            )
        return rebatched(train, size)

    def apply(self, model: keras.Model) -> None:
        """Sets the `trainable` flags."""
        self.strategy.apply(trained_model(model), self.number)
        if isinstance(model, DomainAdaptation):
            model.freeze_normalization()


def plan_stages(
    strategy: Strategy,
    epochs: int | None,
    learning_rate: float | None,
    default_rate: Callable[[], float | None] = lambda: None,
) -> list[Stage]:
    """Divides epochs among the stages of a strategy and settles their learning rates.

    Args:
        strategy: kx.Strategy.
        epochs: for all stages together whose part has no number of its own; None for 10.
        learning_rate: for all parts without one of their own.
        default_rate: gives one for parts that have none where `learning_rate` is None, or None
            for the strategies' defaults.

    Raises:
        ValueError: if there are fewer epochs than stages that share them, a learning rate is not
            above 0, or all parts have their own of what is given here.
    """
    if epochs is not None and epochs < 1:
        raise ValueError(f"Expected `epochs` to be at least 1. Received: epochs={epochs}.")
    if learning_rate is not None and not (
        isinstance(learning_rate, numbers.Real) and learning_rate > 0
    ):
        raise ValueError(
            "Expected `learning_rate` to be a number above 0; how it moves is `schedule`. "
            f"Received: {learning_rate!r}."
        )
    parts = strategy.parts()
    for name, given in (("epochs", epochs), ("learning_rate", learning_rate)):
        if given is not None and all(getattr(part, name) is not None for part in parts):
            raise ValueError(
                f"Expected no `{name}` where every part of the strategy has its own. Received: "
                f"{name}={given} with {strategy!r}."
            )
    epochs = DEFAULT_EPOCHS if epochs is None else epochs
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
        rate = part.learning_rate or learning_rate or default_rate()
        rate = rate or part.strategy.default_learning_rate
        stages += [Stage(part, number, next(own), rate) for number in range(count)]
    return stages


def _divided(epochs: int, stages: int) -> list[int]:
    """Evenly, the later ones longer where it does not come out even."""
    return [epochs * (number + 1) // stages - epochs * number // stages for number in range(stages)]
