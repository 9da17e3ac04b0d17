"""A score from how close target examples are to each other: soft neighborhood density."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_transfer.adaptation.selection.checks import check_features
from keras_transfer.adaptation.selection.entropies import entropy

# Rows of the similarities that are held at once.
_ROWS = 1024


def snd_score(features: Any, *, temperature: float = 0.05) -> float:
    """Soft neighborhood density: how many near neighbors a target example has. Higher is better.

    The mean entropy of each example's similarities to all others. For comparison: it is highest
    where all examples are alike, so that it prefers collapsed models, and it needs
    `kx.CollapseGuard`. Takes time of the order of n squared.

    Reference: Saito et al., "Tune it the Right Way: Unsupervised Validation of Domain Adaptation
    via Soft Neighborhood Density", ICCV 2021, which takes probabilities.

    Args:
        features: float array `[n, width]` of target examples; or their probabilities.
        temperature: float above 0, by which cosines are divided.

    Returns:
        A float from 0 to log(n - 1), in nats; 0 for one example.

    Raises:
        ValueError: if the features are no such array, or the temperature is not above 0.

    Example:

    >>> import keras_transfer as kx
    >>> round(kx.snd_score([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), 4)
    0.6931
    """
    if not temperature > 0:
        raise ValueError(
            f"Expected `temperature` to be above 0. Received: temperature={temperature}."
        )
    rows = check_features(features)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    directions = rows / np.where(norms > 0, norms, 1)
    if len(rows) < 2:
        return 0.0
    total = 0.0
    for start in range(0, len(rows), _ROWS):
        similarities = directions[start : start + _ROWS] @ directions.T / temperature
        own = np.arange(len(similarities))
        similarities[own, start + own] = -np.inf
        exps = np.exp(similarities - similarities.max(1, keepdims=True))
        total += entropy(exps / exps.sum(1, keepdims=True)).sum()
    return float(total / len(rows))
