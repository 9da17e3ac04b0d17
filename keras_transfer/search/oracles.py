"""KerasTuner's oracles by name."""

from __future__ import annotations

import keras_tuner


def make_oracle(
    name: str, objective: str, *, trials: int, epochs: int, seed: int
) -> keras_tuner.Oracle:
    """An oracle.

    Args:
        name: "random", "bayesian", "grid" or "hyperband".
        objective: str, the name of a metric whose direction KerasTuner knows.
        trials: int from 1; Hyperband's number of them follows from the epochs.
        epochs: int from 1, of Hyperband's longest trials.
        seed: int from 0.
    """
    seed += 1  # KerasTuner takes 0 for none and draws one
    oracles = keras_tuner.oracles
    if name == "hyperband":
        return oracles.HyperbandOracle(objective, max_epochs=epochs, seed=seed)
    by_name = {
        "random": oracles.RandomSearchOracle,
        "bayesian": oracles.BayesianOptimizationOracle,
        "grid": oracles.GridSearchOracle,
    }
    return by_name[name](objective, max_trials=trials, seed=seed)
