"""Entropies in nats, of distributions and of what a model predicts."""

from __future__ import annotations

import numpy as np


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """The entropy of each row, 0 for one that is certain; `[..., classes]` to `[...]`."""
    logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
    return 0.0 - (probabilities * logs).sum(-1)


def predicted_class_entropy(probabilities: np.ndarray) -> float:
    """The entropy of the predicted classes' shares, 0 where one class is all that is predicted."""
    counts = np.bincount(probabilities.argmax(1), minlength=probabilities.shape[1])
    return float(entropy(counts / counts.sum()))
