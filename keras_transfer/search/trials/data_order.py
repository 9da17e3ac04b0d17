"""Training examples in an order that follows from a seed and the epoch alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.data.domains import by_domain
from keras_transfer.data.examples import examples_of
from keras_transfer.data.splits import keep_notes


class DataOrder(keras.callbacks.Callback):
    """Shuffles a dataset of this package anew for a trial, the same way after a kill.

    tf.data's shuffle counts how often a dataset was begun in this process, so that a trial would
    see its examples in another order after a kill, or after other trials. Here the seed and the
    number of the epoch say it. As a callback it has to be among those of `fit`.

    Args:
        train: tf.data.Dataset, or what `kx.pair_domains` made; one that this package has not made
            stays as it is.
        seed: int, of this trial.

    Attributes:
        dataset: tf.data.Dataset to train on.
    """

    def __init__(self, train: tf.data.Dataset, seed: int):
        super().__init__()
        with tf.device("CPU:0"):  # where the input pipeline reads it
            self._epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._seed = seed
        self.dataset = by_domain(train, self._shuffled)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Before Keras begins the dataset for the epoch."""
        self._epoch.assign(epoch)

    def _shuffled(self, train: tf.data.Dataset) -> tf.data.Dataset:
        examples = examples_of(train)
        if examples is None or examples.shuffle_seed is None:
            return train
        # Two domains are shuffled by seeds of their own, see `kx.pair_domains`.
        first_seed = self._seed + examples.shuffle_seed
        count = int(examples.in_order.cardinality())

        def of_epoch(_: tf.Tensor) -> tf.data.Dataset:
            seed = first_seed + self._epoch.read_value()
            return examples.reshuffled(seed, anew=False).as_trained

        once = tf.data.Dataset.from_tensors(0)
        shuffled = once.flat_map(of_epoch).apply(tf.data.experimental.assert_cardinality(count))
        return keep_notes(dataclasses.replace(examples, as_trained=shuffled).dataset(), train)
