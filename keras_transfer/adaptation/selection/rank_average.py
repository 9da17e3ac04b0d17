"""One run chosen by several scores that have different scales: by ranks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def rank_average(
    runs: Mapping[str, Mapping[str, float]], *, fallback: str | None = None
) -> dict[str, float]:
    """The mean rank of each run over several scores, the best run first.

    To choose among finished runs without target labels: scores have different scales and fail in
    different ways, so that their ranks are averaged. "information_maximization", "dev" and the
    source accuracy are three that no method trains for together. The choice is
    `next(iter(kx.rank_average(runs)))`. A run of which any score is NaN or infinite, as of one
    that `kx.CollapseGuard` rejected, is never chosen: it is left out, and has no effect on the
    ranks of others.

    Equal scores share the mean of their ranks. Of runs with equal means the one that `runs` has
    first wins: put the simplest first, such as that without adaptation.

    Args:
        runs: dict from names of runs to dicts from names of scores to floats, higher ones better,
            the same scores for all. A pandas table has one by `table.to_dict("index")`.
        fallback: name of a run that is taken where all are rejected, such as that without
            adaptation. None raises then.

    Returns:
        A dict from names of runs to mean ranks, 1 for one that is best in every score; ordered.

    Raises:
        ValueError: if all runs are rejected and there is no `fallback`; if there are no runs or
            no scores, or runs have different ones; or if a score is an oracle's.

    Example:

    >>> import keras_transfer as kx
    >>> runs = {
    ...     "source only": {"information_maximization": 0.9, "source_accuracy": 0.84},
    ...     "weight 1": {"information_maximization": 1.4, "source_accuracy": 0.85},
    ...     "weight 100": {"information_maximization": float("-inf"), "source_accuracy": 0.3},
    ... }
    >>> kx.rank_average(runs)
    {'weight 1': 1.0, 'source only': 2.0}
    """
    names = _score_names(runs, fallback)
    table = {run: [float(scores[name]) for name in names] for run, scores in runs.items()}
    kept = {run: row for run, row in table.items() if np.isfinite(row).all()}
    if not kept:
        return {_fallback(runs, fallback): 1.0}
    values = np.array(list(kept.values()))
    means = np.mean([_ranks(column) for column in values.T], axis=0)
    return dict(sorted(zip(kept, means.tolist(), strict=True), key=lambda pair: pair[1]))


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 1 for the highest; the mean of their ranks for equal ones."""
    above = (values > values[:, None]).sum(1)
    equal = (values == values[:, None]).sum(1)
    return above + (equal + 1) / 2


def _score_names(runs: Mapping[str, Mapping[str, float]], fallback: str | None) -> list[str]:
    if not runs or (fallback is not None and fallback not in runs):
        raise ValueError(
            "Expected `runs` to have a run at least, and `fallback` to be one of them. "
            f"Received: runs {list(runs)}, fallback={fallback!r}."
        )
    names = list(next(iter(runs.values())))
    for run, scores in runs.items():
        if not names or set(scores) != set(names):
            raise ValueError(
                f"Expected the same scores for all runs, one at least. Received: {list(scores)} "
                f"for {run!r}, after {names}."
            )
    oracles = [name for name in names if "oracle" in name]
    if oracles:
        raise ValueError(
            "Expected scores that know no target labels; leave out those of an oracle. "
            f"Received: {oracles}."
        )
    return names


def _fallback(runs: Mapping[str, Mapping[str, float]], fallback: str | None) -> str:
    if fallback is None:
        raise ValueError(
            "Expected a run that is not rejected: adapt with a lower weight, or name a run that "
            "is to be taken anyhow by `fallback`, such as that without adaptation. Received: "
            f"{ {run: dict(scores) for run, scores in runs.items()} }."
        )
    return fallback
