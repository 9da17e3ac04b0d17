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
_SOME = 8
# Batches of shuffled texts that are put in order of length. Of the movie reviews that ship with
# the package, in batches of 32, .51 is padding without, .059 with 20 of them, .028 with 50, .016
# with 100; the more, the more alike are the texts of a batch.
_WINDOW = 50


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
        lengths: int array, by number, where examples are padded to the longest of their batch:
            those of one length come together. None leaves them where they are.
        shuffle_seed: int, what `as_trained` is shuffled by; None where it is not.
        shuffle_buffer: int, how many examples are held in memory for it.
    """

    in_order: tf.data.Dataset
    as_trained: tf.data.Dataset
    load: Callable[[Any], Any]
    label: Callable[[Any], tf.Tensor]
    contents: Callable[[], Iterable[bytes]]
    settings: str
    batch_size: int
    batched: bool = False
    lengths: np.ndarray | None = None
    shuffle_seed: int | None = None
    shuffle_buffer: int = 1

    def dataset(self) -> tf.data.Dataset:
        """Batches `(what the model gets, labels)`, with these examples noted on them."""
        made = self._loaded(
            self._arranged(), lambda _, example: (self.load(example), self.label(example))
        ).prefetch(tf.data.AUTOTUNE)
        made.examples = self
        return made

    def reshuffled(self, seed: Any, *, anew: bool = True) -> Examples:
        """The same examples, shuffled by another seed.

        Args:
            seed: int, or a tensor inside a function of tf.data.
            anew: whether every pass has an order of its own.
        """
        shuffled = self.in_order.shuffle(
            self.shuffle_buffer, seed=seed, reshuffle_each_iteration=anew
        )
        return dataclasses.replace(self, as_trained=shuffled, shuffle_seed=seed)

    def digests(self) -> Iterator[bytes]:
        """16 bytes for each example by its content, in order of the numbers."""
        settings = hashlib.blake2b(self.settings.encode(), digest_size=16)
        for content in self.contents():
            digest = settings.copy()
            digest.update(content)
            yield digest.digest()

    def inputs(self, wanted: np.ndarray) -> tf.data.Dataset:
        """Batches `(numbers, what the model gets)` of some examples.

        Args:
            wanted: bool array `(examples,)`.
        """
        examples = self.in_order if wanted.all() else self._only(wanted)
        loaded = self._loaded(examples, lambda number, example: (number, self.load(example)))
        return loaded.prefetch(self._ahead(tf.nest.flatten(loaded.element_spec[1])))

    def labels(self) -> np.ndarray:
        """Of all examples, in order of the numbers."""
        loaded = self._loaded(self.in_order, lambda _, example: self.label(example))
        return np.concatenate(list(loaded.as_numpy_iterator()))

    def padded_twice(self) -> tuple[Any, Any] | None:
        """What the model gets of some short examples, and of them with the longest one besides.

        None where the examples of a batch have nothing to do with each other.
        """
        if self.lengths is None:
            return None
        count = len(self.lengths)
        wanted = np.zeros(count, bool)
        wanted[np.linspace(count // 8, count // 4, _SOME, dtype=int)] = True
        some = self._only(wanted)
        both = some, some.concatenate(self.in_order.skip(count - 1))
        few, more = (
            next(iter(part.batch(_SOME + 1).map(lambda _, x: self.load(x)))) for part in both
        )
        return few, more

    def batches(self) -> tf.data.Dataset:
        """Batches `(numbers, examples)`, in the order of the dataset."""
        return self._arranged().batch(self.batch_size)

    def _only(self, wanted: np.ndarray) -> tf.data.Dataset:
        chosen = tf.constant(wanted)
        return self.in_order.filter(lambda number, _: chosen[number])

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
        if self.lengths is None:
            return self.as_trained
        lengths = tf.constant(self.lengths)

        def together(numbers: tf.Tensor, examples: Any) -> Any:
            places = _places(tf.gather(lengths, numbers), self.batch_size)
            return tf.nest.map_structure(lambda x: tf.gather(x, places), (numbers, examples))

        arranged = self.as_trained.batch(_WINDOW * self.batch_size).map(together).unbatch()
        known = tf.data.experimental.assert_cardinality(len(self.lengths))
        return arranged.apply(known)


def _places(lengths: tf.Tensor, batch_size: int) -> tf.Tensor:
    """In which order to take examples, so that each batch has some of similar length.

    What was shuffled says the order of the batches: that of the places where the first example of
    each was before. What is in order of length stays so. A smaller batch comes last.
    """
    places = tf.argsort(lengths, stable=True)
    in_full = tf.size(places) // batch_size * batch_size
    full = tf.reshape(places[:in_full], [-1, batch_size])
    full = tf.gather(full, tf.argsort(full[:, 0]))
    return tf.concat([tf.reshape(full, [-1]), places[in_full:]], axis=0)


def rebatched(dataset: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """The dataset in batches of another size, what is noted of its examples included."""
    examples = examples_of(dataset)
    if examples is None:
        return dataset.rebatch(batch_size)
    return dataclasses.replace(examples, batch_size=batch_size).dataset()


def examples_of(dataset: tf.data.Dataset) -> Examples | None:
    """What is noted on a dataset of this package; None where it was changed since."""
    return getattr(dataset, "examples", None)
