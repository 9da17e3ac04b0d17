"""Augmented views of examples: what tells them apart, and which comes when."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.models.fingerprint import config_digest


class Views:
    """So many views of each example, all of which come in so many epochs, in fresh order.

    A view is given by its example, the augmentation's settings and its number: computed again, it
    is the same.

    Args:
        augmentation: keras.Model that changes pictures at random.
        count: int, at least 1. How many of each example.

    Raises:
        NotExactError: if the augmentation has no config.
    """

    def __init__(self, augmentation: keras.Model, count: int):
        self.count = count
        self._augmentation = augmentation
        self._settings = config_digest(augmentation)
        known = {id(weight) for weight in augmentation.weights}
        self._seeds = [v for v in augmentation.variables if id(v) not in known]

    def digests(self, examples: Sequence[bytes]) -> list[bytes]:
        """Of all views, those of one example one behind the other."""
        return [
            hashlib.blake2b(example + self._settings + str(view).encode(), digest_size=16).digest()
            for example in examples
            for view in range(self.count)
        ]

    def augment(self, pictures: tf.Tensor, digest: bytes) -> tf.Tensor:
        """Changes a batch of pictures by random numbers that follow from a digest."""
        before = [variable.numpy() for variable in self._seeds]
        for number, variable in enumerate(self._seeds):
            seed = int.from_bytes(digest[:4], "little") ^ number
            variable.assign(tf.cast([seed, number], variable.dtype))
        changed = self._augmentation(pictures, training=True)
        for variable, value in zip(self._seeds, before, strict=True):
            variable.assign(value)
        return changed

    def in_turn(
        self,
        dataset: tf.data.Dataset,
        lookup: Callable[[tf.Tensor], Any],
        then: Callable[..., Any],
    ) -> tf.data.Dataset:
        """Replaces numbers of examples by the rows of the view that is due.

        Args:
            dataset: of batches `(numbers, ...)`.
            lookup: gives features by numbers of views.
            then: what happens to each batch.
        """
        epoch = tf.Variable(-1, dtype=tf.int64, trainable=False)

        def chosen(now: tf.Tensor, batch: tuple[Any, ...]) -> Any:
            views = batch[0] * self.count + self._due(batch[0], now)
            return then(lookup(views), *batch[1:])

        # Each iterator counts itself; all its batches are given the same count.
        count = tf.data.Dataset.from_tensors(0).map(lambda _: epoch.assign_add(1))
        counts = count.flat_map(lambda now: tf.data.Dataset.from_tensors(now).repeat())
        return tf.data.Dataset.zip(counts, dataset).map(chosen)

    def _due(self, numbers: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """Which view of each example: in each cycle all in an order of the example's own."""
        cycle, place = epoch // self.count, epoch % self.count
        views = tf.range(self.count, dtype=tf.int64)
        pairs = tf.stack(tf.meshgrid(numbers, views, indexing="ij"), axis=-1)
        triples = tf.pad(pairs, [[0, 0], [0, 0], [0, 1]], constant_values=cycle)
        hashed = tf.raw_ops.Fingerprint(data=tf.reshape(triples, [-1, 3]), method="farmhash64")
        order = tf.argsort(tf.reshape(tf.bitcast(hashed, tf.int64), [-1, self.count]), axis=1)
        return tf.cast(tf.gather(order, place, axis=1), tf.int64)
