"""Finished runs scored by how far they agree with all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_transfer.adaptation.selection.checks import check_probabilities


def ensemble_scores(runs: Mapping[str, Any]) -> dict[str, float]:
    """The share of target examples for which each run predicts the class that all together do.

    To choose among finished runs, of one method or of several, without target labels: the mean of
    their probabilities is more accurate than most of them, and a run that is wrong in a way of its
    own does not agree with it. Unlike scores of a single run it cannot be trained for. It needs
    runs that are mostly of use: leave out those that `kx.CollapseGuard` rejects, and many that are
    wrong in the same way, such as trainings without adaptation from several seeds.

    Reference: Hu et al., "Towards Reliable Model Selection for Unsupervised Domain Adaptation: An
    Empirical Study and A Certified Baseline" (EnsV), NeurIPS 2024.

    Args:
        runs: dict from names of runs to float arrays `[n, classes]`, what each predicts for the
            same n target examples, in the same order; three runs or more for it to say something.

    Returns:
        A dict from names of runs to floats from 0 to 1. Higher is better.

    Raises:
        ValueError: if there are no runs, or they are no probabilities of one shape.

    Example:

    >>> import keras_transfer as kx
    >>> good, fair, bad = [[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.4, 0.6]], [[0.4, 0.6]] * 2
    >>> kx.ensemble_scores({"good": good, "fair": fair, "bad": bad})
    {'good': 1.0, 'fair': 1.0, 'bad': 0.5}
    """
    given = {name: check_probabilities(run, name) for name, run in runs.items()}
    shapes = {run.shape for run in given.values()}
    if len(shapes) != 1:
        raise ValueError(
            "Expected runs, a dict of one at least, that predict the same examples and classes. "
            f"Received: { {name: run.shape for name, run in given.items()} }."
        )
    together = np.mean(list(given.values()), axis=0).argmax(1)
    return {name: float(np.mean(run.argmax(1) == together)) for name, run in given.items()}
