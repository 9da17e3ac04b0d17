"""Training and validation data as one, to train on all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from keras_transfer.data.examples import Examples, examples_of
from keras_transfer.data.splits import keep_notes


def joined(train: tf.data.Dataset, validation: tf.data.Dataset) -> tf.data.Dataset:
    """All examples of both, shuffled together as those of `train` were.

    Args:
        train: tf.data.Dataset of batches.
        validation: tf.data.Dataset of the same. Of datasets that this package has not made, or has
            made in two ways, the batches come after those of `train`.
    """
    one, other = examples_of(train), examples_of(validation)
    if one is None or other is None or not _made_alike(one, other):
        return keep_notes(train.concatenate(validation), train)
    return keep_notes(_both(one, other).dataset(), train)


def _made_alike(one: Examples, other: Examples) -> bool:
    """Whether the same functions make what the model gets of both."""
    return (one.load, one.label, one.settings) == (other.load, other.label, other.settings)


def _both(one: Examples, other: Examples) -> Examples:
    count = int(one.in_order.cardinality())
    examples = _unnumbered(one).concatenate(_unnumbered(other))
    order, lengths = None, None
    if one.lengths is not None and other.lengths is not None:
        # The shortest text has number 0, the longest the last.
        lengths = np.concatenate([one.lengths, other.lengths])
        order = np.argsort(lengths, kind="stable")
        lengths, examples = lengths[order], _reordered(examples, order)
    both = dataclasses.replace(
        one,
        in_order=examples.enumerate(),
        as_trained=examples.enumerate(),
        contents=lambda: (
            _in(order, [*one.contents(), *other.contents()])
            if order is not None
            else _one_after_the_other(one, other)
        ),
        lengths=lengths,
        shuffle_buffer=one.shuffle_buffer
        if one.shuffle_buffer < count
        else count + int(other.in_order.cardinality()),
    )
    return both if one.shuffle_seed is None else both.reshuffled(one.shuffle_seed)


def _unnumbered(examples: Examples) -> tf.data.Dataset:
    return examples.in_order.map(lambda _, example: example)


def _reordered(examples: tf.data.Dataset, order: np.ndarray) -> tf.data.Dataset:
    (everything,) = examples.batch(len(order))
    return tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda x: tf.gather(x, order), everything)
    )


def _one_after_the_other(one: Examples, other: Examples) -> Iterator[bytes]:
    yield from one.contents()
    yield from other.contents()


def _in(order: np.ndarray, contents: list[bytes]) -> Iterable[bytes]:
    return (contents[number] for number in order)
