"""Scores from what a model says of target examples: certain of each, and of all classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_transfer.adaptation.selection.checks import check_probabilities
from keras_transfer.adaptation.selection.entropies import entropy


def entropy_score(probabilities: Any) -> float:
    """How certain a model is of target examples: minus the mean entropy. Higher is better.

    Best where the model has collapsed to one class of which it is certain, so it is of use with
    `kx.CollapseGuard` alone.

    Reference: Morerio, Cavazza and Murino, "Minimal-Entropy Correlation Alignment for Unsupervised
    Deep Domain Adaptation", ICLR 2018, choose by it.

    Args:
        probabilities: float array `[n, classes]`, what the model predicts for target examples.

    Returns:
        A float from -log(classes) to 0, in nats; a mean over examples.

    Raises:
        ValueError: if these are no probabilities: wrong shape, NaN, rows that do not add up to 1.

    Example:

    >>> import keras_transfer as kx
    >>> round(kx.entropy_score([[1.0, 0.0], [0.5, 0.5]]), 4)
    -0.3466
    """
    return 0.0 - float(entropy(check_probabilities(probabilities)).mean())


def information_maximization_score(probabilities: Any) -> float:
    """How certain a model is of each target example and how varied over all. Higher is better.

    The mutual information of examples and predicted classes: the entropy of the mean prediction
    less the mean entropy of predictions. The default of `kx.TargetScore`. It expects target
    classes that come about equally often. A collapsed model scores 0, and so does one that is
    never certain.

    It chooses well among models that were trained for something else, such as a discrepancy. A
    method that trains for certain and varied predictions raises it whether that helps or not:
    choose the weight of such a method, or between it and others, by `kx.rank_average`.

    Reference: Bridle, Heading and MacKay, "Unsupervised Classifiers, Mutual Information and
    'Phantom Targets'", NIPS 1991; as a score for adapted models, Musgrave, Belongie and Lim,
    "Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation",
    2022.

    Args:
        probabilities: float array `[n, classes]`, what the model predicts for target examples.

    Returns:
        A float from 0 to log(classes), in nats. From few examples it comes out too small: that of
        one is 0.

    Raises:
        ValueError: if these are no probabilities: wrong shape, NaN, rows that do not add up to 1.

    Example:

    >>> import keras_transfer as kx
    >>> round(kx.information_maximization_score([[1.0, 0.0], [0.0, 1.0]]), 4)
    0.6931
    >>> kx.information_maximization_score([[1.0, 0.0], [1.0, 0.0]])
    0.0
    """
    values = check_probabilities(probabilities)
    # Rounding alone makes it negative.
    return max(0.0, float(entropy(values.mean(0)) - entropy(values).mean()))


def bnm_score(probabilities: Any) -> float:
    """The nuclear norm of the predictions, divided by their number. Higher is better.

    Grows with certainty and with the number of classes that are predicted, like
    `kx.information_maximization_score`, and less than that for equal shares of classes. Compare
    models on the same examples: the same predictions twice score `1 / sqrt(2)` as much.

    Reference: Cui et al., "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization
    under Label Insufficient Situations", CVPR 2020.

    Args:
        probabilities: float array `[n, classes]`, what the model predicts for target examples.

    Returns:
        A float above 0, at most `sqrt(min(n, classes) / n)`.

    Raises:
        ValueError: if these are no probabilities: wrong shape, NaN, rows that do not add up to 1.

    Example:

    >>> import keras_transfer as kx
    >>> round(kx.bnm_score([[1.0, 0.0], [0.0, 1.0]]), 4)
    1.0
    >>> round(kx.bnm_score([[1.0, 0.0], [1.0, 0.0]]), 4)
    0.7071
    """
    values = check_probabilities(probabilities)
    return float(np.linalg.svd(values, compute_uv=False).sum() / len(values))
