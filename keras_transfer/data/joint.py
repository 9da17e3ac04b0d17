"""Batches of several tasks at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from keras_transfer.data.length import count_steps


def joint_data(datasets: Mapping[str, tf.data.Dataset]) -> tf.data.Dataset:
    """Puts the batches of several datasets side by side, to train a `kx.JointModel`.

    Each step takes one batch of each. An epoch is as long as the longest dataset; the shorter
    ones start again, shuffled anew where they shuffle. Batches may be of different sizes, which
    sets how many pictures of each task the backbone sees.

    Args:
        datasets: dict from the name of each task to a tf.data.Dataset of batches
            `(pictures, labels)` or `(pictures, labels, sample_weights)`, finite.

    Returns:
        A tf.data.Dataset of dicts `(pictures, labels)`, with sample weights, of 1 where there
        were none, if any dataset has some.

    Raises:
        ValueError: if there is no dataset, or one is empty, infinite or of other elements.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> few, many = (
    ...     kx.arrays(np.zeros([n, 8, 8, 3], "uint8"), [0, 1] * (n // 2), validation_split=0.5)
    ...     for n in (8, 80)
    ... )
    >>> for pictures, labels in kx.joint_data({"source": many.train, "target": few.train}):
    ...     print({task: len(batch) for task, batch in labels.items()})
    {'source': 32, 'target': 4}
    {'source': 8, 'target': 4}
    """
    if not datasets:
        raise ValueError(f"Expected a dict of at least one dataset. Received: {datasets}.")
    for task, dataset in datasets.items():
        _check_elements(task, dataset)
    weighted = any(len(dataset.element_spec) == 3 for dataset in datasets.values())

    def joined(batches: dict[str, tuple[tf.Tensor, ...]]) -> tuple[dict[str, tf.Tensor], ...]:
        parts = {task: _parts(batch, weighted) for task, batch in batches.items()}
        return tuple({task: part[i] for task, part in parts.items()} for i in range(2 + weighted))

    joint = zip_longest(datasets, joined)
    resizes = {getattr(dataset, "resize", None) for dataset in datasets.values()}
    if len(resizes) == 1 and None not in resizes:
        [joint.resize] = resizes
    return joint


def zip_longest(
    datasets: Mapping[str, tf.data.Dataset], then: Callable[[Any], Any]
) -> tf.data.Dataset:
    """Puts datasets side by side; those that end before the longest start again.

    Args:
        datasets: finite, of batches of anything.
        then: what each dict of batches is put through.

    Raises:
        ValueError: if one is empty or infinite.
    """
    steps = {name: count_steps(dataset, name) for name, dataset in datasets.items()}
    longest = max(steps.values())
    # Cut off, a shorter one does not begin once more behind the last batch: its shuffle would
    # have moved on or not, as it came.
    repeated = {
        name: dataset if steps[name] == longest else dataset.repeat().take(longest)
        for name, dataset in datasets.items()
    }
    dataset = tf.data.Dataset.zip(repeated).map(then, num_parallel_calls=tf.data.AUTOTUNE)
    counted = dataset.apply(tf.data.experimental.assert_cardinality(longest))
    return counted.prefetch(tf.data.AUTOTUNE)


def _parts(batch: tuple[tf.Tensor, ...], weighted: bool) -> tuple[tf.Tensor, ...]:
    if weighted and len(batch) == 2:
        return *batch, tf.ones(tf.shape(batch[0])[:1])
    return batch


def _check_elements(task: str, dataset: tf.data.Dataset) -> None:
    spec: Any = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(
            "Expected datasets of batches (pictures, labels) or (pictures, labels, "
            f"sample_weights). Received: {spec} for {task!r}."
        )
