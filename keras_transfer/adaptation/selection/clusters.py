"""A score from whether what is predicted goes with how target features lie."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from keras_transfer.adaptation.selection.checks import check_features, check_probabilities


def class_ami_score(features: Any, probabilities: Any, *, seed: int = 0) -> float:
    """Whether the predicted classes are clusters of the target's features. Higher is better.

    The adjusted mutual information of predicted classes and k-means clusters, as many as there
    are classes. It needs several examples a class, and depends a little on the seed of k-means.

    Reference: Musgrave, Belongie and Lim, "Three New Validators and a Large-Scale Benchmark
    Ranking for Unsupervised Domain Adaptation", 2022 (ClassAMI). The information, adjusted for
    chance: Vinh, Epps and Bailey, JMLR 2010.

    Args:
        features: float array `[n, width]` of target examples.
        probabilities: float array `[n, classes]`, what the model predicts for them.
        seed: int, of k-means.

    Returns:
        A float of at most 1; about 0 for predictions that have nothing to do with the features,
        and 0 where one class is all that is predicted.

    Raises:
        ValueError: if these are no such arrays.

    Example:

    >>> import keras_transfer as kx
    >>> features = [[0.0], [0.1], [5.0], [5.1]]
    >>> round(kx.class_ami_score(features, [[1, 0], [1, 0], [0, 1], [0, 1]]), 4)
    1.0
    """
    from sklearn import cluster, exceptions, metrics

    values = check_probabilities(probabilities)
    points = check_features(features, examples=len(values))
    predicted = values.argmax(1)
    # Two constants would agree in full by the definition.
    if len(np.unique(predicted)) < 2:
        return 0.0
    k_means = cluster.KMeans(min(values.shape[1], len(points)), n_init=5, random_state=seed)
    with warnings.catch_warnings():
        # Told where there are less different points than clusters, as of collapsed features.
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        found = k_means.fit_predict(points)
    return float(metrics.adjusted_mutual_info_score(predicted, found))
