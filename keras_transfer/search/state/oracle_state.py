"""All of an oracle's state, what KerasTuner leaves out included."""

from __future__ import annotations

import math
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial


def oracle_state(oracle: keras_tuner.Oracle) -> dict[str, Any]:
    """As JSON; `get_state` leaves out where grid and Bayesian search are.

    Grid search could not go on without, https://github.com/keras-team/keras-tuner/issues/1055, and
    Bayesian search would draw the same numbers again.

    Args:
        oracle: keras_tuner.Oracle.
    """
    state = {"state": oracle.get_state()}
    if isinstance(oracle, keras_tuner.oracles.GridSearchOracle):
        # Private, as there is no other way.
        state["order"] = _in_order(oracle._ordered_ids)
        state["next"] = list(oracle._populate_next)
    if isinstance(oracle, keras_tuner.oracles.BayesianOptimizationOracle):
        name, keys, *rest = oracle._random_state.get_state()
        state["random"] = [name, keys.tolist(), *rest]
    return state


def set_oracle_state(
    oracle: keras_tuner.Oracle, trials: dict[str, Trial], state: dict[str, Any]
) -> None:
    """Gives a new oracle trials and a state.

    Args:
        oracle: keras_tuner.Oracle, of the class whose state it is.
        trials: by their names.
        state: what `oracle_state` gave.
    """
    oracle.trials = trials
    oracle.set_state(state["state"])
    if "order" in state:
        for trial_id in state["order"]:
            oracle._ordered_ids.insert(trial_id)
        oracle._populate_next = list(state["next"])
    if "random" in state:
        oracle._random_state.set_state(tuple(state["random"]))


def begin_interrupted_again(oracle: keras_tuner.Oracle) -> None:
    """Trials that were running when the process was killed come first.

    Args:
        oracle: keras_tuner.Oracle.
    """
    interrupted = [trial.trial_id for trial in oracle.ongoing_trials.values()]
    waiting = [name for name in oracle._retry_queue if name not in interrupted]
    # Taken from the end.
    oracle._retry_queue = [*waiting, *reversed(interrupted)]
    oracle.ongoing_trials = {}


def planned_trials(oracle: keras_tuner.Oracle) -> int | None:
    """How many trials an oracle gives at most; None where nobody knows before the end.

    Args:
        oracle: keras_tuner.Oracle.
    """
    if isinstance(oracle, keras_tuner.oracles.HyperbandOracle):
        if math.isinf(oracle.hyperband_iterations):
            return None
        # Private, as there is no other way.
        brackets = range(oracle._get_num_brackets())
        sizes = [oracle._get_size(b, r) for b in brackets for r in range(b + 1)]
        return oracle.hyperband_iterations * sum(sizes)
    return oracle.max_trials


def _in_order(linked: Any) -> list[str]:
    found = []
    place = linked._next_index[None]
    while place is not None:
        found.append(linked._memory[place])
        place = linked._next_index[place]
    return found
