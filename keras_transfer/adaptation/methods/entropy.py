"""How undecided predictions are."""

from __future__ import annotations

import tensorflow as tf


def entropy(logits: tf.Tensor) -> tf.Tensor:
    """The entropy of each row's softmax, in nats.

    Args:
        logits: float tensor `[..., classes]`.

    Returns:
        `[...]`, from 0 to log(classes).
    """
    log_probabilities = tf.nn.log_softmax(logits)
    return -tf.reduce_sum(tf.exp(log_probabilities) * log_probabilities, axis=-1)
