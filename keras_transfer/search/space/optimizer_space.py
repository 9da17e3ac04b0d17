"""Which optimizer, and at which rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import keras_tuner

from keras_transfer.search.space.conditions import only_for

OptimizerName = Literal["adamw", "sgd", "lion"]
# How far rates are from AdamW's. SGD's steps are as small as gradients are; Lion's are of sign,
# three to ten times AdamW's: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.
_RATES: dict[str, float] = {"adamw": 1.0, "sgd": 100.0, "lion": 0.1}


def choose_optimizer(
    hp: keras_tuner.HyperParameters,
    names: Sequence[OptimizerName],
    rates: tuple[float, float],
) -> dict[str, Any]:
    """Arguments `learning_rate` and `optimizer` of `kx.fine_tune`.

    Args:
        hp: the trial's values.
        names: of which one is chosen.
        rates: lowest and highest learning rate of AdamW.
    """
    chosen = hp.Choice("optimizer", list(names))
    rate = {name: _rate(hp, name, rates) for name in names}[chosen]
    made = {
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        "lion": lambda: keras.optimizers.Lion(rate),
    }
    # Without, it is AdamW with the weight decay of the strategy.
    given = {"optimizer": made[chosen]()} if chosen in made else {}
    return {"learning_rate": rate, **given}


def _rate(hp: keras_tuner.HyperParameters, name: str, rates: tuple[float, float]) -> float | None:
    parameter = "learning_rate" if name == "adamw" else f"learning_rate_{name}"
    low, high = (_RATES[name] * rate for rate in rates)
    with only_for(hp, parameter, "optimizer", [name]):
        middle = (low * high) ** 0.5
        return hp.Float(parameter, low, high, sampling="log", default=middle)
