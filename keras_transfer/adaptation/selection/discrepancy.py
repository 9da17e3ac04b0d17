"""A score from how far features of the two domains are still apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_transfer.adaptation.discrepancies.blockwise import blockwise_mmd
from keras_transfer.adaptation.selection.checks import check_features


def discrepancy_score(source_features: Any, target_features: Any) -> float:
    """How close the features of the two domains are. Higher is better.

    Minus the squared maximum mean discrepancy, with the settings of `kx.MaximumMeanDiscrepancy`.
    Unlike scores of predictions it is not the better the surer a model is of what is wrong. It does
    not see whether classes match, so choose by it together with another, as
    `kx.ensemble_scores`, in `kx.rank_average`; and behind `kx.CollapseGuard`, as features that are
    all alike are close, too.

    Reference: Gretton et al., "A Kernel Two-Sample Test", JMLR 2012. As a bound on the target's
    error, beside the source's: Ben-David et al., "A theory of learning from different domains",
    Machine Learning 2010.

    Args:
        source_features: float array `[n, width]`, of source examples.
        target_features: float array `[m, width]`, of target examples.

    Returns:
        A float; about 0 where nothing tells the domains apart, and less the more does. The
        estimate is unbiased, so that it may be a little above 0.

    Raises:
        ValueError: if these are no such arrays.

    Example:

    >>> import keras_transfer as kx
    >>> source, target = [[0.0], [0.1], [1.0], [1.1]], [[5.0], [5.1], [6.0], [6.1]]
    >>> kx.discrepancy_score(source, target) < kx.discrepancy_score(source, source)
    True
    """
    source = check_features(source_features, "source_features")
    target = check_features(target_features, "target_features")
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            "Expected features of one width. Received: "
            f"{source.shape[1]} of the source and {target.shape[1]} of the target."
        )
    arrays = (tf.constant(np.asarray(x, "float32")) for x in (source, target))
    return -float(blockwise_mmd(*arrays))
