"""A score from source losses, weighted by how much source examples look like the target's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from keras_transfer.adaptation.selection.checks import check_features


def dev_score(
    losses: Any, source_features: Any, target_features: Any, *, train_features: Any = None
) -> float:
    """Deep embedded validation: minus the target's estimated risk. Higher is better.

    A logistic regression tells source from target by their features (standardized together, an L2
    penalty of 1); its odds are the weights of the source losses, divided by their mean over the
    source examples that it was fitted on. A control variate, the weights themselves, takes off
    part of the noise; without `train_features` the weights have a mean of 1 as it is, and there
    is nothing for it to do.

    It fails where features tell the domains apart, as wide ones of few examples always do, and
    those of a model before it is adapted: then a handful of examples have all the weight, and the
    figure is theirs. Prefer others for such features.

    Reference: You et al., "Towards Accurate Model Selection in Deep Unsupervised Domain
    Adaptation", ICML 2019. For the weights divided by their mean: Sugiyama, Krauledat and Müller,
    "Covariate Shift Adaptation by Importance Weighted Cross Validation", JMLR 2007, use weights
    as they are; self-normalized ones have less variance and a bias of order 1/n.

    Args:
        losses: float array `[n]` of labeled source examples that were not trained on: their
            cross-entropy, or 0 and 1 for right and wrong.
        source_features: float array `[n, width]` of the same examples.
        target_features: float array `[m, width]` of target examples.
        train_features: float array `[k, width]` of other source examples, those trained on, to
            fit the regression on; None fits it on `source_features`.

    Returns:
        A float, minus the weighted mean loss.

    Raises:
        ValueError: if the arrays do not fit together or hold NaN.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> source, target = np.linspace(0, 1, 50)[:, None], np.linspace(0.5, 1.5, 50)[:, None]
    >>> right_in_common = kx.dev_score((source[:, 0] < 0.5), source, target)
    >>> wrong_in_common = kx.dev_score((source[:, 0] > 0.5), source, target)
    >>> right_in_common > wrong_in_common
    True
    """
    given = check_features(np.reshape(losses, [-1, 1]), "losses")[:, 0]
    source = check_features(source_features, "source_features", len(given))
    target = check_features(target_features, "target_features")
    train = source if train_features is None else check_features(train_features, "train_features")
    if not source.shape[1] == target.shape[1] == train.shape[1]:
        raise ValueError(
            "Expected features of one width. Received: "
            f"{source.shape[1]} of the source, {target.shape[1]} of the target, {train.shape[1]} "
            "of what is fitted on."
        )
    return 0.0 - _risk(given, _weights(source, train, target))


def _weights(source: np.ndarray, train: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The odds of the target, with a mean of 1 over the source examples fitted on."""
    from sklearn import exceptions, linear_model

    both = np.concatenate([train, target])
    mean, deviation = both.mean(0), both.std(0)
    deviation = np.where(deviation > 0, deviation, 1)
    regression = linear_model.LogisticRegression(max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        regression.fit((both - mean) / deviation, np.repeat([0, 1], [len(train), len(target)]))
    log_odds = regression.decision_function((source - mean) / deviation)
    of_train = regression.decision_function((train - mean) / deviation)
    return np.exp(log_odds - np.logaddexp.reduce(of_train) + np.log(len(train)))


def _risk(losses: np.ndarray, weights: np.ndarray) -> float:
    """The mean weighted loss, moved along its regression on the weights to their mean of 1."""
    weighted = weights * losses
    variance = weights.var()
    slope = 0.0
    if variance > 0:
        slope = ((weighted - weighted.mean()) * (weights - weights.mean())).mean() / variance
    return float(weighted.mean() - slope * (weights.mean() - 1))
