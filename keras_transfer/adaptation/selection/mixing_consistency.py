"""A score from whether mixtures of two target examples are predicted as the larger part is."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_transfer.adaptation.selection.checks import check_labels, check_probabilities


def mixval_score(probabilities: Any, mixed_probabilities: Any, partners: Any) -> float:
    """MixVal: how often a mixture gets the class of its larger part. Higher is better.

    Mix each target example with another, `0.55 * x + 0.45 * x[partners]`, and predict both. The
    share of mixtures that keep the class predicted for `x`, taken among partners of the same
    predicted class (are clusters tight?) and of another one (is the border between them?); the
    mean of the two, or the one that there is. A constant model scores 1, so this needs
    `kx.CollapseGuard`.

    Reference: Hu et al., "Mixed Samples as Probes for Unsupervised Model Selection in Domain
    Adaptation", NeurIPS 2023, which averages the ranks of models in the two instead.

    Args:
        probabilities: float array `[n, classes]`, of the target examples.
        mixed_probabilities: float array `[n, classes]`, of the mixtures.
        partners: int array `[n]`: which example each was mixed with, such as
            `np.roll(np.arange(n), 1)`.

    Returns:
        A float from 0 to 1.

    Raises:
        ValueError: if these are no probabilities, or there is not a partner and a mixture for
            each example.

    Example:

    >>> import keras_transfer as kx
    >>> kx.mixval_score([[1, 0], [0, 1]], [[0.6, 0.4], [0.7, 0.3]], [1, 0])
    0.5
    """
    values = check_probabilities(probabilities)
    mixed = check_probabilities(mixed_probabilities, "mixed_probabilities")
    if mixed.shape != values.shape:
        raise ValueError(
            "Expected a mixture for each example. Received: probabilities of shape "
            f"{values.shape} and mixed_probabilities of shape {mixed.shape}."
        )
    # Not as one-hot rows: as many partners as examples, each the number of one.
    others = check_labels(np.reshape(partners, -1), len(values), len(values), "partners")
    predicted = values.argmax(1)
    kept = mixed.argmax(1) == predicted
    alike = predicted == predicted[others]
    return float(np.mean([kept[part].mean() for part in (alike, ~alike) if part.any()]))
