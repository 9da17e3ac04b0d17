"""How many batches a dataset has, also where the pipeline does not know."""

from __future__ import annotations

import tensorflow as tf


def count_steps(dataset: tf.data.Dataset, task: str | None = None) -> int:
    """Batches an epoch; counted in one pass where the pipeline does not know.

    Args:
        dataset: of batches.
        task: whose dataset it is, for the error message, where there are several.

    Raises:
        ValueError: if the dataset is infinite or empty.
    """
    steps = int(dataset.cardinality())
    if steps == tf.data.UNKNOWN_CARDINALITY:
        steps = sum(1 for _ in dataset)
    if steps < 1:
        kind = "dataset" if task is None else f"one for {task!r}"
        raise ValueError(
            "Expected a finite dataset of at least one batch; `.take(n)` makes an infinite one "
            f"finite. Received: {'an infinite' if steps < 0 else 'an empty'} {kind}."
        )
    return steps


def counted(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset, its number of batches known; counting it once reads all pictures."""
    if int(dataset.cardinality()) != tf.data.UNKNOWN_CARDINALITY:
        return dataset
    return dataset.apply(tf.data.experimental.assert_cardinality(count_steps(dataset)))
