"""Balanced sampling: every class equally often, rare examples repeated."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_transfer.data.splits import keep_notes

# Batches that are shuffled, so that the copies of an example do not follow each other.
_SHUFFLED_BATCHES = 16


def balanced(
    dataset: tf.data.Dataset, *, shuffle_buffer: int | None = None, seed: int | None = None
) -> tf.data.Dataset:
    """Gives every class equally often, in expectation, by repeating examples of rare classes.

    An alternative to class weights where some class has a handful of examples: its gradients
    come often instead of rarely and large. Every picture is loaded once per pass; of one in a
    frequent class some passes leave it out. Augmentation that comes later (as in `kx.fine_tune`)
    changes each copy in its own way. For training data only.

    Reference: Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR
    2019 (repeat factor sampling, here with the full factor).

    Args:
        dataset: tf.data.Dataset of batches `(pictures, int labels[, weights])`, finite; shuffled
            each epoch, as those of this package are. Its labels are counted in one pass.
        shuffle_buffer: int, at least 1. How many examples are held in memory to keep copies
            apart. Defaults to those of 16 batches.
        seed: int, for the same sequence in every run; None for another one. Each epoch has
            another order either way.

    Returns:
        A `tf.data.Dataset` of as many batches, all of them full.

    Raises:
        ValueError: if the dataset is infinite or empty, does not have one int label an example,
            or lacks one of the classes from 0 to the largest label.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> x, y = np.zeros([64, 8, 8, 3], "uint8"), [0] * 56 + [1] * 8
    >>> data = kx.arrays(x, y, batch_size=16, validation_split=0.0)
    >>> labels = [labels for _, labels in kx.balanced(data.train, seed=0)]
    >>> len(labels), bool(0.3 < np.mean(labels) < 0.7)
    (4, True)
    """
    if shuffle_buffer is not None and shuffle_buffer < 1:
        raise ValueError(f"Expected `shuffle_buffer` to be at least 1. Received: {shuffle_buffer}.")
    _check(dataset)
    labels = [batch.numpy() for batch in dataset.map(lambda *batch: batch[1])]
    batch_size = max(map(len, labels), default=0)
    repeats = tf.constant(_repeats(np.concatenate([*labels, np.array([], np.int32)])))

    def repeat(batch: tuple[tf.Tensor, ...], number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        wanted = tf.gather(repeats, batch[1])
        # As often as the fraction says: 1.3 is one copy, and in three of ten passes a second.
        chance = tf.random.stateless_uniform(tf.shape(wanted), seed=tf.stack([number, 0]))
        copies = tf.cast(tf.floor(wanted + chance), tf.int32)
        return tuple(tf.repeat(part, copies, axis=0) for part in batch)

    numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    copied = tf.data.Dataset.zip(dataset.map(lambda *batch: batch), numbers).map(
        lambda *zipped: repeat(zipped[0], zipped[1]), num_parallel_calls=tf.data.AUTOTUNE
    )
    shuffled = copied.unbatch().shuffle(shuffle_buffer or _SHUFFLED_BATCHES * batch_size, seed)
    # A pass has as many examples in expectation: what it lacks comes from the next one.
    batches = shuffled.repeat().batch(batch_size, drop_remainder=False).take(len(labels))
    return keep_notes(batches.prefetch(tf.data.AUTOTUNE), dataset)


def _check(dataset: tf.data.Dataset) -> None:
    spec = dataset.element_spec
    labels = spec[1] if isinstance(spec, tuple) and len(spec) in (2, 3) else None
    if not (
        isinstance(labels, tf.TensorSpec) and labels.shape.rank == 1 and labels.dtype.is_integer
    ):
        raise ValueError(
            "Expected a dataset of batches (pictures, labels[, weights]) with one int label an "
            f"example. Received: elements {spec}."
        )
    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "Expected a finite dataset; `.take(n)` makes an infinite one finite. Received: an "
            "infinite dataset."
        )


def _repeats(labels: np.ndarray) -> np.ndarray:
    """How often an example of each class is to come in a pass, on average."""
    if not len(labels) or labels.min() < 0:
        raise ValueError(
            "Expected at least one example, and labels from 0. Received: "
            f"{len(labels)} examples, labels {sorted(set(labels.tolist()))}."
        )
    counts = np.bincount(labels)
    if not counts.all():
        raise ValueError(
            f"Expected examples of every class from 0 to {len(counts) - 1}. Received: none of "
            f"{np.flatnonzero(counts == 0).tolist()}."
        )
    return (len(labels) / (len(counts) * counts)).astype(np.float32)
