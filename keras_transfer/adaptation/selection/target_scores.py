"""The scores of an adapted model by their names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_transfer.adaptation.selection.checks import check_labels
from keras_transfer.adaptation.selection.clusters import class_ami_score
from keras_transfer.adaptation.selection.confidence import (
    bnm_score,
    entropy_score,
    information_maximization_score,
)
from keras_transfer.adaptation.selection.discrepancy import discrepancy_score
from keras_transfer.adaptation.selection.held_out import Predictions
from keras_transfer.adaptation.selection.neighbors import snd_score
from keras_transfer.adaptation.selection.weighted_risk import dev_score

# From what is predicted for the target and for the source.
SCORES: dict[str, Callable[[Predictions, Predictions | None], float]] = {
    "information_maximization": lambda target, _: information_maximization_score(
        target.probabilities
    ),
    "entropy": lambda target, _: entropy_score(target.probabilities),
    "bnm": lambda target, _: bnm_score(target.probabilities),
    "snd": lambda target, _: snd_score(target.probabilities),
    "class_ami": lambda target, _: class_ami_score(target.features, target.probabilities),
    "dev": lambda target, source: _dev(target, _needed(source)),
    "discrepancy": lambda target, source: discrepancy_score(
        _needed(source).features, target.features
    ),
}
OF_FEATURES = frozenset(["class_ami", "dev", "discrepancy"])
OF_SOURCE = frozenset(["dev", "discrepancy"])


def _needed(source: Predictions | None) -> Predictions:
    if source is None:
        raise ValueError("Expected source data for this score. Received: source=None.")
    return source


def _dev(target: Predictions, source: Predictions) -> float:
    labels = check_labels(source.labels, source.probabilities.shape[1], len(source.probabilities))
    of_labels = source.probabilities[np.arange(len(labels)), labels]
    losses = -np.log(np.maximum(of_labels, np.finfo("float64").tiny))
    return dev_score(losses, source.features, target.features)
