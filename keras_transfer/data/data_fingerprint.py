"""What tells the examples of one dataset from those of another."""

from __future__ import annotations

import hashlib

import tensorflow as tf

from keras_transfer.data.domains import domains_of
from keras_transfer.data.examples import examples_of


def data_fingerprint(dataset: tf.data.Dataset) -> str:
    """A digest of the content and the labels of all examples, in whatever order they come.

    Args:
        dataset: tf.data.Dataset of batches; of pairs of domains, that of both. Of one that this
            package has not made, shapes and the number of batches, if that is known, alone:
            reading it might change it.
    """
    domains = domains_of(dataset)
    if domains is not None:
        return "-".join(map(data_fingerprint, domains.values()))
    examples = examples_of(dataset)
    if examples is None:
        told = repr((dataset.element_spec, int(dataset.cardinality()))).encode()
        return f"shapes-{_digest([told])}"
    if not hasattr(dataset, "examples_fingerprint"):  # all files are read for it
        pairs = zip(examples.digests(), examples.labels(), strict=True)
        parts = sorted(content + label.tobytes() for content, label in pairs)
        dataset.examples_fingerprint = _digest(parts)
    return dataset.examples_fingerprint


def _digest(parts: list[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
