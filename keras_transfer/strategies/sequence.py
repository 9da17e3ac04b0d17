"""Strategies one after another."""

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import Any

import keras

from keras_transfer.strategies.strategy import Part, Strategy, check_stage


@keras.saving.register_keras_serializable("keras_transfer")
class Sequence(Strategy):
    """Does one strategy after another, each with its own epochs, learning rate and batch size.

    `kx.Sequence([kx.FeatureExtraction(), kx.FineTuning()])` is linear probing, then fine-tuning:
    the backbone is not moved by the gradients of a head that knows nothing yet.

    Reference: Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution", ICLR 2022.

    Args:
        strategies: list of `kx.Strategy`, sequences included, or of `kx.Part` where one has
            settings of its own.

    Raises:
        ValueError: if the list is empty.
        TypeError: if it holds something else.

    Example:

    >>> import keras_transfer as kx
    >>> strategy = kx.Sequence([
    ...     kx.Part(kx.FeatureExtraction(), epochs=5, learning_rate=1e-2),
    ...     kx.GradualUnfreezing(stages=3),
    ... ])
    >>> strategy.num_stages
    4
    """

    def __init__(self, strategies: Items[Strategy | Part]):
        if not strategies:
            raise ValueError(f"Expected at least one strategy. Received: {strategies}.")
        self.strategies = strategies
        self._parts = [part for given in strategies for part in _flat(given)]

    def __repr__(self) -> str:
        """As it is written in code."""
        return f"Sequence({list(self.strategies)!r})"

    @property
    def num_stages(self) -> int:
        """The stages of all parts."""
        return sum(part.strategy.num_stages for part in self._parts)

    def parts(self) -> list[Part]:
        """The strategies with their settings, sequences inside this one resolved."""
        return self._parts

    def apply(self, model: keras.Model, stage: int = 0) -> None:
        """Sets the `trainable` flags as the strategy does whose stage it is; see `Strategy`."""
        check_stage(self, stage)
        for part in self._parts:
            if stage < part.strategy.num_stages:
                return part.strategy.apply(model, stage)
            stage -= part.strategy.num_stages
        return None

    def get_config(self) -> dict[str, Any]:
        """The constructor's argument, as dicts that `from_config` takes."""
        return {"strategies": [_config(part) for part in self._parts]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequence:
        """Makes the sequence, its parts included."""
        make = keras.saving.deserialize_keras_object
        parts = [
            Part(**{**part, "strategy": make(part["strategy"])}) for part in config["strategies"]
        ]
        return cls(parts)


def _flat(given: Strategy | Part) -> list[Part]:
    part = given if isinstance(given, Part) else Part(given)
    if not isinstance(part.strategy, Sequence):
        return [part]
    if part != Part(part.strategy):
        raise ValueError(
            "Expected a sequence within a sequence to have no settings of its own: give them to "
            f"its parts. Received: {part}."
        )
    return part.strategy.parts()


def _config(part: Part) -> dict[str, Any]:
    return {
        "strategy": keras.saving.serialize_keras_object(part.strategy),
        "epochs": part.epochs,
        "learning_rate": part.learning_rate,
        "batch_size": part.batch_size,
    }
