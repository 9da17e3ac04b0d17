"""Accuracy: on the source, and on the target for those who have its labels."""

from __future__ import annotations

from typing import Any

from keras_transfer.adaptation.selection.checks import check_labels, check_probabilities


def source_accuracy(labels: Any, probabilities: Any) -> float:
    """The share of source examples that are predicted right. Higher is better.

    Blind to the target, and still hard to beat in many cases: Musgrave, Belongie and Lim, 2022.

    Args:
        labels: int array `[n]`, or rows `[n, classes]`.
        probabilities: float array `[n, classes]`.

    Raises:
        ValueError: if they do not fit together.
    """
    values = check_probabilities(probabilities)
    right = values.argmax(1) == check_labels(labels, values.shape[1], len(values))
    return float(right.mean())


def oracle_accuracy(target_labels: Any, probabilities: Any) -> float:
    """The accuracy on the target: for reports beside a score, and never to choose a model by.

    Args:
        target_labels: int array `[n]`, or rows `[n, classes]`.
        probabilities: float array `[n, classes]`.

    Raises:
        ValueError: if they do not fit together.
    """
    return source_accuracy(target_labels, probabilities)
