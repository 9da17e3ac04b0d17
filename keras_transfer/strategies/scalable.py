"""What can be scaled weight by weight: which of Keras's optimizers, by which rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_transfer.strategies.proximal import Proximal

# By name, as older Keras has not all of them. The weight is made anew from their state in each
# update, so that a scaled update would lag behind it.
_NOT_TO_BE_SCALED = ("Ftrl", "ScheduleFreeAdamW")
# These keep state that is not of one weight: it cannot be handed on weight by weight.
_OF_ONE_STAGE = ("Adafactor", "Nadam")


def check_scalable(optimizer: Any, ages: Sequence[int] | None) -> None:
    """Refuses optimizers that would do something else than they say.

    Args:
        optimizer: what is to be scaled.
        ages: as for `kx.LayerwiseOptimizer`.

    Raises:
        TypeError: if it is no optimizer, or one around another.
        ValueError: if its update cannot be scaled, or it was used before.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer) or hasattr(
        optimizer, "inner_optimizer"
    ):
        raise TypeError(
            "Expected a plain Keras optimizer; loss scaling goes around this optimizer, not into "
            f"it. Received: {optimizer!r}."
        )
    kind = type(optimizer).__name__
    if kind in _NOT_TO_BE_SCALED or (kind in _OF_ONE_STAGE and any(ages or ())):
        raise ValueError(
            "Expected an optimizer whose update can be scaled, and over several stages one that "
            f"keeps its state by weight, such as AdamW or SGD. Received: {kind}."
        )
    if kind == "Muon" and optimizer.adam_weight_decay != optimizer.weight_decay:
        raise ValueError(
            "Expected Muon with one weight decay. Received: "
            f"weight_decay={optimizer.weight_decay}, "
            f"adam_weight_decay={optimizer.adam_weight_decay}."
        )
    if optimizer.built:
        raise ValueError(
            f"Expected an optimizer that was not used yet. Received: {optimizer.name}."
        )


def check_rates(
    rates: Sequence[float], proximal: Proximal | None, in_head: Sequence[bool | None]
) -> None:
    """Refuses rates and settings of `kx.LayerwiseOptimizer` that do not fit together.

    Raises:
        ValueError: if a rate is negative, or `proximal` does not know the head.
    """
    if not all(rate >= 0 for rate in rates):
        raise ValueError(f"Expected rates of at least 0. Received: {list(rates)}.")
    if proximal is not None and len(in_head) != len(rates):
        raise ValueError(
            f"Expected `in_head` to tell for each of {len(rates)} weights whether it belongs to "
            f"the head. Received: {in_head}."
        )
