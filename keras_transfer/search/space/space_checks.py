"""What a space of transfer learning has to have, told before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from keras_transfer.adaptation.methods.names import MethodName
from keras_transfer.data.augmentation import Strength
from keras_transfer.search.space.optimizer_space import OptimizerName
from keras_transfer.search.space.strategy_space import StrategyName

if TYPE_CHECKING:
    from keras_transfer.search.space.hyper_model import TransferHyperModel


def check_space(space: TransferHyperModel) -> None:
    """Raises a `ValueError` if an argument of `kx.TransferHyperModel` leaves nothing to search."""
    if not space.backbones or not space.poolings:
        raise ValueError(
            "Expected `backbones` and `poolings` to choose from. Received: "
            f"backbones={space.backbones}, poolings={space.poolings}."
        )
    _check_names("strategies", space.strategies, StrategyName)
    _check_names("optimizers", space.optimizers, OptimizerName)
    _check_names("augmentations", space.augmentations, Strength)
    if space.methods:
        _check_names("methods", space.methods, MethodName)
    rates = tuple(space.learning_rate)
    if len(rates) != 2 or not 0 < rates[0] <= rates[1]:
        raise ValueError(
            "Expected `learning_rate` to be (lowest, highest), above 0. Received: "
            f"learning_rate={space.learning_rate}."
        )
    if space.epochs < 1:
        raise ValueError(f"Expected `epochs` of at least 1. Received: epochs={space.epochs}.")
    if space.input_shape is None and set(space.augmentations) != {"none"}:
        raise ValueError(
            "Expected `input_shape` with augmentations, which change pictures. Received: "
            f"augmentations={space.augmentations} and input_shape=None."
        )


def _check_names(argument: str, names: Sequence[str], known: Any) -> None:
    if not names or not set(names) <= set(get_args(known)):
        raise ValueError(
            f"Expected `{argument}` to be some of {get_args(known)}. "
            f"Received: {argument}={list(names)}."
        )
