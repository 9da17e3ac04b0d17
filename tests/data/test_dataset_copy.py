import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.data.dataset_copy import independent_copy


def values(dataset):
    return np.concatenate([np.ravel(batch) for batch in dataset])


def numbers():
    return tf.data.Dataset.range(12)


def augmented(path):
    one, other = keras.random.SeedGenerator(3), keras.random.SeedGenerator(4)
    return numbers().map(
        lambda x: keras.random.uniform((), seed=one) - keras.random.uniform((), seed=other)
    )


def looked_up(path):
    squares = tf.lookup.KeyValueTensorInitializer(np.arange(12), np.arange(12) ** 2)
    return numbers().map(tf.lookup.StaticHashTable(squares, -1).lookup).shuffle(12, seed=3)


def sampled(path):
    parts = [numbers(), numbers().map(lambda x: -x)]
    return tf.data.Dataset.sample_from_datasets(parts, seed=3, rerandomize_each_iteration=True)


def nested(path):
    inner = tf.data.Dataset.range(3)
    return numbers().interleave(lambda x: inner.shuffle(3, seed=3)).shuffle(4, seed=3)


def from_generator(path):
    spec = tf.TensorSpec((), "int64")
    return tf.data.Dataset.from_generator(lambda: iter(range(5)), output_signature=spec)


PIPELINES = {
    "shuffled": lambda path: numbers().shuffle(12, seed=3).batch(5).prefetch(2),
    "cached": lambda path: numbers().shuffle(12, seed=3).cache().batch(5),
    "cached in a file": lambda path: numbers().shuffle(12, seed=3).cache(str(path / "cache")),
    "repeated": lambda path: numbers().shuffle(12, seed=3).repeat(2),
    "generator": lambda path: from_generator(path).shuffle(5, seed=3),
    "augmented": augmented,
    "looked up": looked_up,
    "sampled": sampled,
    "nested": nested,
}


@pytest.mark.parametrize("make", PIPELINES.values(), ids=PIPELINES)
def test_reading_a_copy_leaves_no_trace_in_the_original(make, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    read, unread = make(tmp_path / "a"), make(tmp_path / "b")
    copy = independent_copy(read)
    first = values(copy)
    values(copy)
    assert not list((tmp_path / "a").iterdir())
    expected = [values(unread) for _ in range(3)]
    np.testing.assert_array_equal([values(read) for _ in range(3)], expected)
    np.testing.assert_array_equal(first, expected[0])


def test_options_and_structure_stay():
    options = tf.data.Options()
    options.deterministic = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = tf.data.Dataset.from_tensors({"x": 1.0, "y": (2, "a")}).with_options(options)
    copy = independent_copy(dataset)
    assert copy.element_spec == dataset.element_spec
    assert copy.options() == dataset.options()


def test_what_cannot_be_copied_is_refused():
    numbers = iter(tf.data.Dataset.range(5))
    dataset = tf.data.Dataset.range(2).map(lambda x: x + next(numbers))
    with pytest.raises(ValueError, match=r"Expected a dataset that tf.data can copy. Received"):
        independent_copy(dataset)
