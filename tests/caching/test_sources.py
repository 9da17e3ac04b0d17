"""Examples of any pipeline, told apart without leaving a trace in it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.caching.sources import source_of
from keras_transfer.models.exactness import NotExactError


def all_pictures(source):
    """By number."""
    found = {}
    for numbers, pictures in source.inputs(np.ones(len(source.digests), bool)):
        flat = [np.asarray(part) for part in tf.nest.flatten(pictures)]
        found |= {int(n): [part[i] for part in flat] for i, n in enumerate(numbers)}
    return [found[number] for number in range(len(source.digests))]


def numbers_of(dataset, source):
    looked_up = source.with_features(tf.identity, lambda *batch: batch)
    return [(numbers.numpy(), *rest) for numbers, *rest in looked_up]


def shuffled(batch_size=4):
    x = np.random.default_rng(0).normal(size=(10, 3)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, np.arange(10)))
    return data.shuffle(10, seed=1).batch(batch_size)


def test_a_users_pipeline_keeps_its_order_and_its_labels():
    data, same = shuffled(), shuffled()
    source = source_of(data)
    pictures = all_pictures(source)
    looked_up = source.with_features(tf.identity, lambda *batch: batch)
    for _ in range(2):  # epochs
        for (x, y), (numbers, labels) in zip(same, looked_up, strict=True):
            np.testing.assert_array_equal(y, labels)
            np.testing.assert_array_equal(x, [pictures[int(n)][0] for n in numbers])


def test_examples_of_two_pipelines_are_told_apart_alike():
    one, other = source_of(shuffled()), source_of(shuffled(batch_size=3).map(lambda x, y: (x, -y)))
    assert set(one.digests) == set(other.digests)
    changed = source_of(shuffled().map(lambda x, y: (x + 1e-6, y)))
    assert not set(one.digests) & set(changed.digests)


def test_an_example_that_comes_several_times_counts_once():
    data = shuffled().repeat(3)
    source = source_of(data)
    assert len(source.digests) == 10
    assert sum(len(n) for n, _ in numbers_of(data, source)) == 30


@pytest.mark.parametrize(
    "picture",
    [
        lambda x: {"a": x, "b": tf.cast(x * 100, tf.int32)},
        lambda x: (x, tf.reduce_sum(x, 1) > 0),
        lambda x: tf.strings.as_string(x),
        lambda x: tf.strings.as_string(x[:, 0]),
        lambda x: tf.cast(x, tf.float16),
    ],
)
def test_what_the_model_gets_may_be_of_any_structure(picture):
    data = shuffled().map(lambda x, y: (picture(x), y))
    source = source_of(data)
    assert len(source.digests) == 10
    assert sorted(np.concatenate([n for n, _ in numbers_of(data, source)])) == list(range(10))


def test_parts_that_change_places_make_another_example():
    pairs = [
        source_of(shuffled().map(lambda x, y, turn=turn: ((x, -x) if turn else (-x, x), y)))
        for turn in (False, True)
    ]
    assert not set(pairs[0].digests) & set(pairs[1].digests)


def test_pipelines_that_augment_are_refused():
    random = tf.random.Generator.from_seed(0)

    def noise(x, y):
        return x + random.normal(tf.shape(x)), y

    with pytest.raises(NotExactError, match="same pictures in every epoch"):
        source_of(shuffled().map(noise))
    augment = kx.augmentation("light", (8, 8), seed=0)
    pictures = tf.data.Dataset.from_tensor_slices(np.ones([8, 8, 8, 3], "float32")).batch(4)
    changed = pictures.map(lambda x: (augment(x * 9, training=True), 0))
    with pytest.raises(NotExactError, match="same pictures in every epoch"):
        source_of(changed)


def test_a_picture_that_was_not_there_before_stops_training():
    count = tf.Variable(0, dtype=tf.int64)

    def late(x, y):  # changes long after the pipeline was looked at
        return tf.where(count.assign_add(1) > 20, x + 1, x), y

    data = shuffled().map(late)
    source = source_of(data)
    looked_up = source.with_features(tf.identity, lambda *batch: batch)
    with pytest.raises(tf.errors.InvalidArgumentError, match="gave before"):
        list(looked_up.repeat(10))


def test_a_shuffle_is_not_moved_on():
    data, same = shuffled(), shuffled()
    source_of(data)
    np.testing.assert_array_equal(next(iter(data))[1], next(iter(same))[1])


def test_the_same_bytes_in_another_dtype_are_another_example():
    x = np.random.default_rng(0).integers(0, 255, (6, 3), dtype="uint8")
    found = [
        source_of(tf.data.Dataset.from_tensor_slices((part, range(6))).batch(2)).digests
        for part in (x, x.view("int8"))
    ]
    assert not set(found[0]) & set(found[1])


def test_rare_changes_are_seen():
    random = tf.random.Generator.from_seed(0)

    def seldom(x, y):
        return x + tf.cast(random.uniform([]) < 0.1, tf.float32), y

    with pytest.raises(NotExactError, match="same pictures in every epoch"):
        source_of(shuffled(1).repeat(10).map(seldom))


def generated():
    yield np.ones([2, 3], "float32"), np.zeros([2], "int32")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            lambda: tf.data.Dataset.from_generator(
                generated,
                output_signature=(tf.TensorSpec([None, 3]), tf.TensorSpec([None], tf.int32)),
            ),
            "without Python functions",
        ),
        (lambda: shuffled().map(lambda x, y: (tf.sparse.from_dense(x), y)), "dense tensors"),
        (lambda: shuffled().take(0), "an empty one"),
        (lambda: (np.ones(3), np.ones(3)), "tf.data.Dataset of batches"),
    ],
    ids=["python", "sparse", "empty", "arrays"],
)
def test_what_cannot_be_told_apart_is_refused(data, reason):
    with pytest.raises(NotExactError, match=reason):
        source_of(data())
