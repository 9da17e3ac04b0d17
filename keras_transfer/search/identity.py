"""What a search must have in common with the one that it goes on with."""

from __future__ import annotations

from typing import Any

import keras_tuner


def identity_of(oracle: keras_tuner.Oracle) -> dict[str, dict[str, Any]]:
    """The space that models were built for, and what is looked for in it.

    Args:
        oracle: keras_tuner.Oracle, before its first trial.
    """
    objective = oracle.objective
    space = {}
    for parameter in oracle.get_space().space:
        config = parameter.get_config()
        conditions = [repr(condition.get_config()) for condition in parameter.conditions]
        space[f"{config['name']}{conditions or ''}"] = {
            "type": type(parameter).__name__,
            **{key: value for key, value in config.items() if key not in ("name", "conditions")},
        }
    return {
        "hyper-parameter": space,
        "oracle": {"class": type(oracle).__name__},
        "objective": {"name": objective.name, "direction": objective.direction},
    }
