"""What is taken of a batch of `kx.pair_domains`, and of what the model gave for it."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_transfer.adaptation.methods.method import DomainBatch, Method
from keras_transfer.data.length import count_steps

DOMAINS = ("source", "target")


def is_pair(structure: Any) -> bool:
    """Whether it is of two domains."""
    return isinstance(structure, dict) and set(structure) == set(DOMAINS)


def check_target_labels(method: Method, y: dict[str, tf.Tensor]) -> None:
    """Refuses a target without labels for a method that is for one with some.

    Raises:
        ValueError: if it is so.
    """
    if method.needs_target_labels and "target" not in y:
        raise ValueError(
            "Expected a target of which some examples have labels: "
            "kx.pair_domains(source, target, target_labels='train'). "
            f"Received: no labels of the target for {type(method).__name__}."
        )


def steps_of(dataset: Any) -> int:
    """Batches an epoch of what `fit` gets.

    Raises:
        ValueError: if it is no dataset.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            "Expected the dataset that `kx.pair_domains` makes, or `steps_per_epoch`. "
            f"Received: {type(dataset)}."
        )
    return count_steps(dataset)


def labeled(
    y: dict[str, tf.Tensor],
    y_pred: dict[str, list[tf.Tensor]],
    sample_weight: dict[str, tf.Tensor] | None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Labels, outputs and sample weights of all examples that have a label.

    Integer labels below 0 are none, as of a target with few.
    """
    labels, outputs = y["source"], y_pred["source"][-1]
    weights = None if sample_weight is None else sample_weight["source"]
    if "target" not in y:
        return labels, outputs, weights
    known = _known(y["target"], y_pred["target"][-1])
    labels = tf.concat([labels, tf.boolean_mask(y["target"], known)], 0)
    outputs = tf.concat([outputs, tf.boolean_mask(y_pred["target"][-1], known)], 0)
    if sample_weight is not None:
        weights = tf.concat([weights, tf.boolean_mask(sample_weight["target"], known)], 0)
    return labels, outputs, weights


def domain_batch(
    domain: str,
    x: dict[str, Any],
    y: dict[str, tf.Tensor],
    y_pred: dict[str, list[tf.Tensor]],
    sample_weight: dict[str, tf.Tensor] | None,
    **known: Any,
) -> DomainBatch:
    """What a method sees of a domain, on this replica, with what else is `known`."""
    *features, outputs = (tf.cast(part, tf.float32) for part in y_pred[domain])
    weights = tf.ones(tf.shape(outputs)[:1])
    if sample_weight is not None:
        weights = tf.cast(tf.reshape(sample_weight[domain], [-1]), tf.float32)
    labels = _distributions(y[domain], outputs) if domain in y else None
    return DomainBatch(x[domain], tuple(features), outputs, labels, weights, **known)


def _sparse(labels: tf.Tensor, outputs: tf.Tensor) -> bool:
    """Whether labels are numbers of classes."""
    width = labels.shape[-1] if labels.shape.rank == outputs.shape.rank else 1
    return width == 1 and (outputs.shape[-1] > 1 or keras.backend.is_int_dtype(labels.dtype))


def _known(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Which examples have a label."""
    if _sparse(labels, outputs):
        return tf.reshape(labels, [-1]) >= 0
    return tf.ones(tf.shape(labels)[:1], tf.bool)


def _distributions(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """A row of shares of classes an example, of zeros where there is no label."""
    if _sparse(labels, outputs):
        numbers = tf.cast(tf.reshape(labels, [-1]), tf.int32)
        return tf.one_hot(numbers, outputs.shape[-1])
    return tf.cast(labels, tf.float32)
