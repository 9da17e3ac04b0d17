"""How large batches are, and smaller ones where memory is short; of pairs of domains, too."""

from __future__ import annotations

import tensorflow as tf

from keras_transfer.data.domains import by_domain, domains_of
from keras_transfer.data.examples import examples_of, rebatched


def batch_size_of(dataset: tf.data.Dataset) -> int:
    """That of a dataset, or of the domain with the smaller batches.

    Args:
        dataset: tf.data.Dataset of batches; of one that this package has not made, its first one.
    """
    domains = domains_of(dataset)
    if domains is not None:
        return min(map(batch_size_of, domains.values()))
    examples = examples_of(dataset)
    if examples is not None:
        return examples.batch_size
    return int(tf.shape(tf.nest.flatten(next(iter(dataset)))[0])[0])


def with_batch_size(dataset: tf.data.Dataset, size: int) -> tf.data.Dataset:
    """The dataset in other batches; of pairs, the smaller ones, and the others in proportion.

    Args:
        dataset: tf.data.Dataset of batches.
        size: int from 1.
    """
    own = batch_size_of(dataset)
    if size == own:
        return dataset
    return by_domain(dataset, lambda x: rebatched(x, max(1, batch_size_of(x) * size // own)))
