"""Where the examples of a dataset are told apart, and where their features come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_transfer.data.dataset_copy import calls_python, independent_copy
from keras_transfer.data.examples import Examples, examples_of
from keras_transfer.models.exactness import NotExactError

Lookup = Callable[[tf.Tensor], Any]

# Looking up features is so fast that to optimize the pipeline, in every epoch anew, takes longer.
_AS_IT_IS = tf.data.Options()
_AS_IT_IS.autotune.enabled = False
_AS_IT_IS.experimental_optimization.apply_default_optimizations = False


class Source(Protocol):
    """The examples of a dataset, numbered from 0 in the order of `digests`.

    Attributes:
        digests: 16 bytes for each example.
    """

    digests: list[bytes]

    def inputs(self, wanted: np.ndarray) -> tf.data.Dataset:
        """Batches `(numbers, what the model gets)` of the examples where `wanted` is true."""

    def padded_twice(self) -> tuple[Any, Any] | None:
        """What the model gets of some examples, in two batches that are padded differently.

        None where that does not happen. The examples are the first of both batches.
        """

    def with_features(self, lookup: Lookup, then: Callable[..., Any]) -> tf.data.Dataset:
        """The dataset, with features in the place of what the model gets, through a function."""


def source_of(dataset: tf.data.Dataset) -> Source:
    """The examples of a dataset of batches `(pictures, labels)`.

    Raises:
        NotExactError: if they are others in every epoch, or the pipeline cannot be copied, to
            look at it without leaving a trace.
    """
    _check(dataset)
    examples = examples_of(dataset)
    return _PipelineSource(dataset) if examples is None else _NumberedSource(examples)


def _check(dataset: tf.data.Dataset) -> None:
    if not isinstance(dataset, tf.data.Dataset) or not isinstance(dataset.element_spec, tuple):
        raise NotExactError(
            "Expected a tf.data.Dataset of batches (pictures, labels). "
            f"Received: {type(dataset).__name__}."
        )
    parts = tf.nest.flatten(dataset.element_spec[0])
    if not all(isinstance(part, tf.TensorSpec) for part in parts):
        raise NotExactError(f"Expected dense tensors. Received: {dataset.element_spec[0]}.")
    if examples_of(dataset) is None and calls_python(dataset):
        raise NotExactError(
            "Expected a pipeline without Python functions: they may have a state that looking at "
            f"them changes. Received: {dataset}."
        )


class _NumberedSource:
    """Examples of this package's own datasets, which need not be decoded to be told apart."""

    def __init__(self, examples: Examples):
        self._examples = examples
        self.digests = list(examples.digests())

    def inputs(self, wanted: np.ndarray) -> tf.data.Dataset:
        return self._examples.inputs(wanted)

    def padded_twice(self) -> tuple[Any, Any] | None:
        return self._examples.padded_twice()

    def with_features(self, lookup: Lookup, then: Callable[..., Any]) -> tf.data.Dataset:
        label = self._examples.label
        batches = self._examples.batches().map(
            lambda numbers, examples: then(lookup(numbers), label(examples))
        )
        return batches.with_options(_AS_IT_IS)


class _PipelineSource:
    """Examples of any dataset of batches, told apart by what the model would get.

    Each epoch runs the pipeline, as it would without features, and looks up what comes out of it.
    """

    def __init__(self, dataset: tf.data.Dataset):
        self._dataset = dataset
        try:
            self._copy = independent_copy(dataset)
        except ValueError as error:
            raise NotExactError(str(error)) from error
        digests = self._copy.map(_digests_of_batch, num_parallel_calls=tf.data.AUTOTUNE)
        batches = list(digests.prefetch(2).as_numpy_iterator())
        if not sum(map(len, batches)):
            raise NotExactError("Expected a dataset with examples. Received: an empty one.")
        found = np.concatenate(batches)
        self._found = np.unique(found, axis=0)  # an example may come several times in an epoch
        # Pipelines that change pictures at random give other ones when they are read again.
        again = np.concatenate(list(digests.as_numpy_iterator()))
        if not np.isin(_joined(again), _joined(self._found)).all():
            raise NotExactError(
                "Expected a dataset that gives the same pictures in every epoch: augment them "
                f"behind the cache. Received: {dataset}, which gives others."
            )
        self.digests = [row.tobytes() for row in self._found]
        keys = tf.lookup.KeyValueTensorInitializer(
            tf.constant(self._found[:, 0]), tf.range(len(self._found), dtype=tf.int64)
        )
        self._table = tf.lookup.StaticHashTable(keys, default_value=-1)

    def inputs(self, wanted: np.ndarray) -> tf.data.Dataset:
        chosen = tf.constant(wanted)

        def choose(pictures: Any, *_: Any) -> tuple[tf.Tensor, Any]:
            numbers = self._numbers(pictures)
            keep = tf.where((numbers >= 0) & tf.gather(chosen, tf.maximum(numbers, 0)))[:, 0]
            numbers = tf.gather(numbers, keep)
            return numbers, tf.nest.map_structure(lambda x: tf.gather(x, keep), pictures)

        batches = self._copy.map(choose).filter(lambda numbers, _: tf.size(numbers) > 0)
        return batches.prefetch(2)

    def padded_twice(self) -> tuple[Any, Any] | None:
        return None  # an example that is padded differently counts as another one

    def with_features(self, lookup: Lookup, then: Callable[..., Any]) -> tf.data.Dataset:
        def replace(pictures: Any, *rest: Any) -> tuple[Any, ...]:
            numbers = self._numbers(pictures)
            known = tf.debugging.assert_non_negative(
                numbers,
                "Expected the pictures that the dataset gave before: where they differ from epoch "
                "to epoch, train with `cache=None`.",
            )
            with tf.control_dependencies([known]):
                return then(lookup(tf.identity(numbers)), *rest)

        return self._dataset.map(replace, num_parallel_calls=tf.data.AUTOTUNE)

    def _numbers(self, pictures: Any) -> tf.Tensor:
        digests = _digests_of_batch(pictures)
        numbers = self._table.lookup(digests[:, 0])
        found = tf.gather(tf.constant(self._found[:, 1]), tf.maximum(numbers, 0))
        return tf.where(found == digests[:, 1], numbers, -1)


def _digests_of_batch(pictures: Any, *_: Any) -> tf.Tensor:
    """Two hashes of each example, forwards and backwards, int64 `(batch, 2)`."""
    parts = tf.nest.flatten(pictures)
    halves = []
    for turn in (False, True):
        of_parts = [_hash(_row_bytes(part, turn=turn)) for part in parts]
        of_shapes = [_hash_of_shape(part) for part in parts]
        halves.append(_hash(tf.concat([*of_parts, *of_shapes], axis=1)))
    return tf.bitcast(tf.stack(halves, axis=1), tf.int64)


def _joined(digests: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(digests).view("V16")[:, 0]


def _row_bytes(part: tf.Tensor, *, turn: bool) -> tf.Tensor:
    rows = tf.reshape(part, [tf.shape(part)[0], -1])
    if not turn:
        return rows
    return tf.strings.join([rows, "."]) if rows.dtype == tf.string else tf.reverse(rows, [1])


def _hash_of_shape(part: tf.Tensor) -> tf.Tensor:
    """The same for each example, uint8 `(batch, 16)`: the same bytes may be other numbers."""
    told = [_hash(tf.shape(part)[None, 1:]), _hash(tf.constant([part.dtype.name]))]
    return tf.repeat(tf.concat(told, 1), tf.shape(part)[0], axis=0)


def _hash(rows: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.Fingerprint(data=rows, method="farmhash64")
