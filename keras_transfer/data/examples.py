"""What a dataset of batches is made of: single examples, each with a number."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

# Pictures are loaded while whoever takes them is being traced, up to so many bytes of them; of
# texts, whose size nobody knows ahead, so many batches.
_AHEAD = 64_000_000
_BATCHES_AHEAD = 16


@dataclasses.dataclass(frozen=True)
class Examples:
    """Numbered examples, noted as `examples` on the datasets that this package makes.

    Whoever has computed something for each example can so find it again without decoding or
    tokenizing anything, in the very order of the dataset: both come from one shuffle, which counts
    epochs for both.

    Attributes:
        in_order: tf.data.Dataset of `(number, example)`, from 0 in a fixed order. What an example
            is, the functions below know.
        as_trained: tf.data.Dataset of the same, shuffled where the batches are.
        load: gives what the model gets: of one example, or of a batch of them if `batched`.
        label: gives the label of an example, or the labels of a batch of them.
        contents: gives the bytes that each example is made from, in order of the numbers.
        settings: str. How it is made from them.
        batch_size: int.
        batched: whether `load` takes a batch, for what depends on all of it, such as padding.
        window: int. Neighbors by number, such as texts of one length, come together in batches,
            within so many batches as they are shuffled; 0 leaves them where they are.
    """

    in_order: tf.data.Dataset
    as_trained: tf.data.Dataset
    load: Callable[[Any], Any]
    label: Callable[[Any], tf.Tensor]
    contents: Callable[[], Iterable[bytes]]
    settings: str
    batch_size: int
    batched: bool = False
    window: int = 0

    def dataset(self) -> tf.data.Dataset:
        """Batches `(what the model gets, labels)`, with these examples noted on them."""
        made = self._loaded(
            self._arranged(), lambda _, example: (self.load(example), self.label(example))
        ).prefetch(tf.data.AUTOTUNE)
        made.examples = self
        return made

    def digests(self) -> Iterator[bytes]:
        """16 bytes for each example by its content, in order of the numbers."""
        settings = hashlib.blake2b(self.settings.encode(), digest_size=16)
        for content in self.contents():
            digest = settings.copy()
            digest.update(content)
            yield digest.digest()

    def pictures(self, wanted: np.ndarray) -> tf.data.Dataset:
        """Batches `(numbers, what the model gets)` of some examples.

        Args:
            wanted: bool array `(examples,)`.
        """
        chosen, examples = tf.constant(wanted), self.in_order
        if not wanted.all():
            examples = examples.filter(lambda number, _: chosen[number])
        loaded = self._loaded(examples, lambda number, example: (number, self.load(example)))
        return loaded.prefetch(self._ahead(tf.nest.flatten(loaded.element_spec[1])))

    def batches(self) -> tf.data.Dataset:
        """Batches `(numbers, examples)`, in the order of the dataset."""
        return self._arranged().batch(self.batch_size)

    def _loaded(self, examples: tf.data.Dataset, load: Callable[..., Any]) -> tf.data.Dataset:
        """Batches of them, in parallel."""
        if self.batched:
            examples = examples.batch(self.batch_size)
        loaded = examples.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return loaded if self.batched else loaded.batch(self.batch_size)

    def _ahead(self, parts: list[tf.TensorSpec]) -> int:
        sizes = [part.shape[1:].num_elements() for part in parts]
        if None in sizes or not all(part.dtype.size for part in parts):
            return _BATCHES_AHEAD
        row = sum(size * part.dtype.size for size, part in zip(sizes, parts, strict=True))
        return max(2, _AHEAD // (self.batch_size * row))

    def _arranged(self) -> tf.data.Dataset:
        """In the order of training."""
        if not self.window:
            return self.as_trained
        windows = self.as_trained.batch(self.window * self.batch_size)
        arranged = windows.map(self._neighbors_together).unbatch()
        count = self.as_trained.cardinality()  # which `unbatch` forgets
        return arranged.apply(tf.data.experimental.assert_cardinality(count))

    def _neighbors_together(self, numbers: tf.Tensor, examples: Any) -> Any:
        """Cut into batches, each holds neighbors; these batches come in any order.

        What was shuffled says the order: that of the places where the first example of each batch
        was before. What is in order stays so. A smaller batch comes last.
        """
        places = tf.argsort(numbers)
        in_full = tf.size(places) // self.batch_size * self.batch_size
        full = tf.reshape(places[:in_full], [-1, self.batch_size])
        full = tf.gather(full, tf.argsort(full[:, 0]))
        places = tf.concat([tf.reshape(full, [-1]), places[in_full:]], axis=0)
        return tf.nest.map_structure(lambda part: tf.gather(part, places), (numbers, examples))


def rebatched(dataset: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """The dataset in batches of another size, what is noted of its examples included."""
    examples = examples_of(dataset)
    if examples is None:
        return dataset.rebatch(batch_size)
    return dataclasses.replace(examples, batch_size=batch_size).dataset()


def examples_of(dataset: tf.data.Dataset) -> Examples | None:
    """What is noted on a dataset of this package; None where it was changed since."""
    return getattr(dataset, "examples", None)
