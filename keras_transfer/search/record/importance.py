"""How much of the differences between scores each hyper-parameter alone explains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_transfer.search.record.axes import axis_of, score_axis
from keras_transfer.search.record.parameters import Parameter
from keras_transfer.search.record.records import SearchRecord

MIN_TRIALS = 6
_TREES, _RESAMPLES = 64, 20
_MOST_VALUES, _MOST_BACKGROUND = 16, 64


@dataclasses.dataclass(frozen=True)
class Importances:
    """Shares of the variance of scores.

    Attributes:
        shares: of each hyper-parameter, between 0 and 1.
        ranges: of each, where four in five lie when trials are drawn anew from those there are.
        explained: R2 of the forest on trials that it has not seen; at 0 or below the shares mean
            nothing.
        num_trials: how many it is made of.
    """

    shares: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    explained: float
    num_trials: int


def importances(search: SearchRecord) -> Importances | None:
    """By the functional analysis of variance of a random forest.

    The forest predicts scores from values. The share of a hyper-parameter is the variance of the
    mean prediction as this one alone changes, over the variance of all predictions. One that only
    some trials have is looked at among these, and counts by how many they are. What is left to 1
    is what several do together. A trial that was pruned counts with the score that it had.

    Reference: Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter
    Importance", ICML 2014.

    Args:
        search: of any state.

    Returns:
        None for fewer than `MIN_TRIALS` trials with a score, or where all have the same.
    """
    trials, parameters = search.ranked, search.differing
    scores = score_axis(search)
    targets = np.array([scores.place(trial.score) for trial in trials], float)
    if len(trials) < MIN_TRIALS or np.ptp(targets) == 0:
        return None
    encoded = [_columns(parameter, [x.values for x in trials]) for parameter in parameters]
    rows = np.concatenate(encoded, axis=1)
    has = ~np.isnan(rows)
    # Means, so that trees cannot tell by what is absent what the condition says.
    rows = np.where(has, rows, np.nanmean(rows, axis=0))
    widths = [columns.shape[1] for columns in encoded]
    ends = np.cumsum(widths)
    groups = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
    names = [parameter.name for parameter in parameters]
    forest = _forest(rows, targets, seed=0, oob=True)
    shares = _shares(forest, rows, has, groups, seed=0)
    drawn = np.array(
        [_resampled(rows, has, targets, groups, seed) for seed in range(1, _RESAMPLES + 1)]
    )
    low, high = np.quantile(drawn, [0.1, 0.9], axis=0)
    ranges = {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}
    return Importances(
        shares=dict(zip(names, map(float, shares), strict=True)),
        ranges=ranges,
        explained=float(forest.oob_score_),
        num_trials=len(trials),
    )


def _columns(parameter: Parameter, trials: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Numbers by their places; of words a column each, as they have no order; NaN for none."""
    values = [of_trial.get(parameter.name) for of_trial in trials]
    listed = parameter.values
    if listed is not None and any(isinstance(value, str) for value in listed):
        nothing = [np.nan] * len(listed)
        return np.array([nothing if x is None else [x == word for word in listed] for x in values])
    axis = axis_of(parameter)
    return np.array([[axis.place(value)] for value in values], float)


def _forest(rows: np.ndarray, targets: np.ndarray, *, seed: int, oob: bool = False) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(_TREES, oob_score=oob, random_state=seed)
    return forest.fit(rows, targets)


def _resampled(
    rows: np.ndarray, has: np.ndarray, targets: np.ndarray, groups: Sequence[slice], seed: int
) -> np.ndarray:
    drawn = np.random.default_rng(seed).integers(0, len(rows), len(rows))
    forest = _forest(rows[drawn], targets[drawn], seed=seed)
    return _shares(forest, rows[drawn], has[drawn], groups, seed=seed)


def _shares(
    forest: Any, rows: np.ndarray, has: np.ndarray, groups: Sequence[slice], *, seed: int
) -> np.ndarray:
    total = np.var(forest.predict(rows))
    if total == 0:
        return np.zeros(len(groups))
    random = np.random.default_rng(seed)
    variances = []
    for group in groups:
        active = has[:, group].all(axis=1)
        variances.append(_variance_by(forest, rows[active], group, random) * active.mean())
    return np.array(variances) / total


def _variance_by(forest: Any, rows: np.ndarray, group: slice, random: np.random.Generator) -> float:
    """Of the mean prediction, by the values in some columns alone."""
    if len(rows) < 2:
        return 0.0
    values = _quantiles(rows[:, group], _MOST_VALUES)
    few = random.permutation(len(rows))[:_MOST_BACKGROUND]
    background = rows[few]
    changed = np.tile(background, (len(values), 1))
    changed[:, group] = np.repeat(values, len(background), axis=0)
    means = forest.predict(changed).reshape(len(values), len(background)).mean(axis=1)
    return float(np.var(means))


def _quantiles(rows: np.ndarray, count: int) -> np.ndarray:
    """Some of many rows, which are spread like all."""
    if len(rows) <= count:
        return rows
    places = (np.arange(count) + 0.5) / count * len(rows)
    return rows[np.lexsort(rows.T)][places.astype(int)]
