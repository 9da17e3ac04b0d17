"""What a dataset of batches is made of: single examples, each with a number."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

# Pictures are loaded while whoever takes them is being traced, up to so many bytes of them.
_AHEAD = 64_000_000


@dataclasses.dataclass(frozen=True)
class Examples:
    """Numbered examples, noted as `examples` on the datasets that this package makes.

    Whoever has computed something for each example can so find it again without decoding the
    pictures, in the very order of the dataset: both come from one shuffle, which counts epochs
    for both.

    Attributes:
        in_order: tf.data.Dataset of `(number, example)`, from 0 in a fixed order. What an example
            is, the functions below know.
        as_trained: tf.data.Dataset of the same, as the batches are made of them.
        picture: gives the picture of an example, as the model gets it.
        label: gives the label of an example, or the labels of a batch of them.
        contents: gives the bytes that each picture is made from, in order of the numbers.
        settings: str. How it is made from them.
        batch_size: int.
    """

    in_order: tf.data.Dataset
    as_trained: tf.data.Dataset
    picture: Callable[[Any], tf.Tensor]
    label: Callable[[Any], tf.Tensor]
    contents: Callable[[], Iterable[bytes]]
    settings: str
    batch_size: int

    def digests(self) -> Iterator[bytes]:
        """16 bytes for each picture by its content, in order of the numbers."""
        settings = hashlib.blake2b(self.settings.encode(), digest_size=16)
        for content in self.contents():
            digest = settings.copy()
            digest.update(content)
            yield digest.digest()

    def pictures(self, wanted: np.ndarray) -> tf.data.Dataset:
        """Batches `(numbers, pictures)` of some examples.

        Args:
            wanted: bool array `(examples,)`.
        """
        chosen, examples = tf.constant(wanted), self.in_order
        if not wanted.all():
            examples = examples.filter(lambda number, _: chosen[number])
        loaded = examples.map(
            lambda number, example: (number, self.picture(example)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        picture = loaded.element_spec[1]
        batch_bytes = self.batch_size * picture.shape.num_elements() * picture.dtype.size
        return loaded.batch(self.batch_size).prefetch(max(2, _AHEAD // batch_bytes))

    def batches(self) -> tf.data.Dataset:
        """Batches `(numbers, examples)`, in the order of the dataset."""
        return self.as_trained.batch(self.batch_size)


def rebatched(dataset: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """The dataset in batches of another size, what is noted of its examples included."""
    made, examples = dataset.rebatch(batch_size), examples_of(dataset)
    if examples is not None:
        made.examples = dataclasses.replace(examples, batch_size=batch_size)
    return made


def examples_of(dataset: tf.data.Dataset) -> Examples | None:
    """What is noted on a dataset of this package; None where it was changed since."""
    return getattr(dataset, "examples", None)
