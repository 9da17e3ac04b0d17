"""What is taken of a batch of `kx.pair_domains`, and of what the model gave for it."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_transfer.adaptation.methods.method import DomainBatch

DOMAINS = ("source", "target")


def is_pair(structure: Any) -> bool:
    """Whether it is of two domains."""
    return isinstance(structure, dict) and set(structure) == set(DOMAINS)


def labeled(
    y: dict[str, tf.Tensor],
    y_pred: dict[str, list[tf.Tensor]],
    sample_weight: dict[str, tf.Tensor] | None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Labels, outputs and sample weights of all examples that have a label.

    Integer labels below 0 are none, as of a target with few.
    """
    parts = []
    for domain, labels in y.items():
        known = _known(labels, y_pred[domain][-1])
        weights = None if sample_weight is None else sample_weight[domain]
        part = (labels, y_pred[domain][-1], weights)
        if domain == "target" and known is not None:
            part = tuple(None if x is None else tf.boolean_mask(x, known) for x in part)
        parts.append(part)
    labels, outputs, weights = (
        None if column[0] is None else tf.concat(column, 0) for column in zip(*parts, strict=True)
    )
    return labels, outputs, weights


def domain_batch(
    domain: str,
    x: dict[str, Any],
    y: dict[str, tf.Tensor],
    y_pred: dict[str, list[tf.Tensor]],
    sample_weight: dict[str, tf.Tensor] | None,
) -> DomainBatch:
    """What a method sees of a domain, on this replica; `classify` is left out."""
    *features, outputs = (tf.cast(part, tf.float32) for part in y_pred[domain])
    weights = tf.ones(tf.shape(outputs)[:1])
    if sample_weight is not None:
        weights = tf.cast(tf.reshape(sample_weight[domain], [-1]), tf.float32)
    labels = _distributions(y[domain], outputs) if domain in y else None
    return DomainBatch(x[domain], tuple(features), outputs, labels, weights, classify=None)


def _sparse(labels: tf.Tensor, outputs: tf.Tensor) -> bool:
    """Whether labels are numbers of classes."""
    width = labels.shape[-1] if labels.shape.rank == outputs.shape.rank else 1
    return width == 1 and (outputs.shape[-1] > 1 or keras.backend.is_int_dtype(labels.dtype))


def _known(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor | None:
    return tf.reshape(labels, [-1]) >= 0 if _sparse(labels, outputs) else None


def _distributions(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """A row of shares of classes an example, of zeros where there is no label."""
    if _sparse(labels, outputs):
        numbers = tf.cast(tf.reshape(labels, [-1]), tf.int32)
        return tf.one_hot(numbers, outputs.shape[-1])
    return tf.cast(labels, tf.float32)
