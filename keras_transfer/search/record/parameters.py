"""Hyper-parameters as people see them, from the configs that KerasTuner writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

# What Hyperband keeps among the values of a trial.
_OWN = "tuner/"


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A hyper-parameter, in all places of the space where it has this name.

    Attributes:
        name: str.
        values: all that it can be, in their order; None for numbers of a range.
        low: smallest number, None where there are values.
        high: largest number.
        is_log: whether it is drawn by its logarithm.
        conditional: whether some trials go without it.
    """

    name: str
    values: tuple[Any, ...] | None
    low: float | None
    high: float | None
    is_log: bool
    conditional: bool


def active_values(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Values of those whose conditions hold, parents of parents included.

    Args:
        hyperparameters: the config of a keras_tuner.HyperParameters.
    """
    values, active = hyperparameters["values"], dict[str, Any]()
    for config in (entry["config"] for entry in hyperparameters["space"]):
        name, conditions = config["name"], [x["config"] for x in config["conditions"]]
        holds = all(x["name"] in active and active[x["name"]] in x["values"] for x in conditions)
        if holds and values.get(name) is not None:
            active[name] = values[name]
    return active


def parameters_of(
    configs: Sequence[Mapping[str, Any]], values: Sequence[Mapping[str, Any]]
) -> list[Parameter]:
    """All that a space has, in its order.

    Args:
        configs: of all hyper-parameters in all places of the space.
        values: of each trial.
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for config in configs:
        by_name.setdefault(config["name"], []).append(config)
    return [
        _parameter(name, places, any(name not in of_trial for of_trial in values))
        for name, places in by_name.items()
        if not name.startswith(_OWN)
    ]


def _parameter(name: str, places: Sequence[Mapping[str, Any]], conditional: bool) -> Parameter:
    if all("min_value" in place for place in places):
        low, high = min(x["min_value"] for x in places), max(x["max_value"] for x in places)
        is_log = low > 0 and all("log" in place["sampling"] for place in places)
        return Parameter(name, None, low, high, is_log, conditional)
    # A choice, a boolean, a fixed value; or one of them in one place and a range in another.
    values = [value for place in places for value in _listed(place)]
    return Parameter(name, tuple(dict.fromkeys(values)), None, None, False, conditional)


def _listed(config: Mapping[str, Any]) -> list[Any]:
    if "values" in config:
        return list(config["values"])
    if "min_value" in config:
        return [config["min_value"], config["max_value"]]
    return [config["value"]] if "value" in config else [False, True]
