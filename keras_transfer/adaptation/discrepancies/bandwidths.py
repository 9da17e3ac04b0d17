"""The bandwidth of a kernel: the typical squared distance of two examples, whatever their domain.

Bandwidths are constants to the gradient: features that move apart are to be told from features
that are measured with another rule.
"""

from __future__ import annotations

import math
import warnings

import tensorflow as tf

from keras_transfer.adaptation.discrepancies.distances import is_diagonal, squared_distances
from keras_transfer.adaptation.discrepancies.medians import median
from keras_transfer.adaptation.discrepancies.pair_weights import normalized, share_of_pairs
from keras_transfer.adaptation.discrepancies.samples import Samples

# Relative to the features' mean squared norm: what equal features may differ by in float32 when
# they come from another place of a batch, about eight units in the last place, squared.
ROUNDING = 1e-12
# Of so many examples the median of all distances is known to a few percent at most.
MEDIAN_EXAMPLES = 1000


def bandwidth_of(samples: Samples, bandwidth: float | str) -> tf.Tensor:
    """The given number, or the one of two samples.

    Args:
        samples: of both domains.
        bandwidth: float; "mean" or "median" of the squared distances of all pairs of different
            examples.

    Returns:
        float32 scalar without gradient; infinity where the examples do not differ by more than
        rounding, which makes every discrepancy 0. A given number stays as it is.
    """
    if isinstance(bandwidth, str):
        typical = {"mean": mean_bandwidth, "median": median_bandwidth}[bandwidth](samples)
        constant = typical <= ROUNDING * _mean_squared_norm(samples)
        return tf.stop_gradient(tf.where(constant, math.inf, typical))
    return tf.constant(bandwidth, tf.float32)


def mean_bandwidth(samples: Samples) -> tf.Tensor:
    """Weighted mean of the squared distances of all pairs, from moments: no matrix of pairs.

    2 N / (N - 1) * (E||x||^2 - ||E x||^2) for N examples of weight 1.

    Args:
        samples: of both domains.

    Returns:
        float32 scalar; 0 without pairs.
    """
    weights = normalized(samples.pooled_weights)[:, None]
    mean = tf.reduce_sum(weights * samples.pooled, axis=0)
    variance = tf.reduce_sum(weights * tf.square(samples.pooled - mean))
    pairs = share_of_pairs(samples.pooled_weights, "unbiased")
    return 2 * tf.math.divide_no_nan(variance, pairs)


def median_bandwidth(samples: Samples) -> tf.Tensor:
    """Median of the squared distances of the pairs of examples whose weight is above 0.

    Of more than 1,000 examples, padding included, it takes 1,000 at even intervals.

    Args:
        samples: of both domains.

    Returns:
        float32 scalar; 0 without pairs.
    """
    pooled, weights = tf.stop_gradient(samples.pooled), samples.pooled_weights
    number = tf.shape(pooled, out_type=tf.int64)[0]
    taken = tf.minimum(number, MEDIAN_EXAMPLES)
    index = tf.range(taken) * number // tf.maximum(taken, 1)
    pooled, counts = tf.gather(pooled, index), tf.gather(weights, index) > 0
    pairs = tf.logical_and(counts[:, None], counts[None, :])
    pairs &= ~is_diagonal(tf.shape(counts)[0])
    return median(squared_distances(pooled, pooled), pairs)


def warn_of_constant_features(bandwidth: tf.Tensor, name: str, in_graphs: bool) -> None:
    """Tells that a discrepancy is switched off, as bandwidths are infinite.

    Args:
        bandwidth: float32, of any shape. Where there are several, all have to be infinite.
        name: str, of the layer.
        in_graphs: bool. Whether to print in graphs, which XLA can not compile.
    """
    constant = tf.reduce_all(tf.math.is_inf(bandwidth))
    message = (
        f"{name} is switched off for a batch, 0 and without gradient: all its features are equal "
        "but for rounding. They have collapsed, or the compared layer gives a constant."
    )
    if not tf.executing_eagerly():
        if in_graphs:
            tf.cond(constant, lambda: _print(message), tf.no_op)
    elif constant:
        warnings.warn(message, stacklevel=2)


def _print(message: str) -> tf.Operation:
    with tf.control_dependencies([tf.print("Warning:", message)]):
        return tf.no_op()


def _mean_squared_norm(samples: Samples) -> tf.Tensor:
    weights = normalized(samples.pooled_weights)[:, None]
    around_mean = tf.reduce_sum(weights * tf.square(samples.pooled))
    return around_mean + tf.reduce_sum(tf.square(samples.mean))
