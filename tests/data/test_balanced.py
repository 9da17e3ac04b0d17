import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

COUNTS = (70, 20, 7, 3)
LABELS = np.repeat(np.arange(4), COUNTS)


def numbered(labels=LABELS, batch_size=8, weights=False):
    """Pictures whose pixels are their number."""
    numbers = np.arange(len(labels), dtype="float32")[:, None, None, None]
    parts = (numbers, np.asarray(labels), *([numbers[:, 0, 0, 0]] if weights else []))
    dataset = tf.data.Dataset.from_tensor_slices(parts)
    return dataset.shuffle(len(labels), seed=0).batch(batch_size)


def epochs(dataset, count):
    return [list(dataset.as_numpy_iterator()) for _ in range(count)]


def test_every_class_comes_equally_often():
    labels = [batch[1] for epoch in epochs(kx.balanced(numbered(), seed=0), 15) for batch in epoch]
    shares = np.bincount(np.concatenate(labels)) / (15 * 13 * 8)
    # Labels are nearly independent; each share's standard error is about 0.011.
    np.testing.assert_allclose(shares, 0.25, atol=0.04)


def test_examples_of_a_class_come_equally_often_and_keep_label_and_weight():
    batches = sum(epochs(kx.balanced(numbered(weights=True), seed=0), 20), [])
    numbers = np.concatenate([batch[0][:, 0, 0, 0] for batch in batches]).astype(int)
    np.testing.assert_array_equal(LABELS[numbers], np.concatenate([b[1] for b in batches]))
    np.testing.assert_array_equal(numbers, np.concatenate([batch[2] for batch in batches]))
    seen = np.bincount(numbers, minlength=100) / 20
    expected = (13 * 8 / 100) * 25 / np.array(COUNTS)[LABELS]
    # A frequent example comes with a chance of a third, twenty times.
    np.testing.assert_allclose(seen[LABELS > 0], expected[LABELS > 0], rtol=0.35)
    assert seen[LABELS == 0].std() < 0.15
    assert seen.min() > 0


def test_as_many_full_batches_and_each_epoch_in_another_order():
    dataset = kx.balanced(numbered(), seed=0)
    assert int(dataset.cardinality()) == 13
    first, second = epochs(dataset, 2)
    assert [len(batch[1]) for batch in first] == [8] * 13
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True))


def test_same_seed_gives_the_same_epochs():
    one, other = (epochs(kx.balanced(numbered(), seed=5), 2) for _ in range(2))
    for batch, same in zip(sum(one, []), sum(other, []), strict=True):
        np.testing.assert_array_equal(batch[0], same[0])


def test_each_picture_is_loaded_once_a_pass():
    loaded = []

    def load(picture, label):
        seen = tf.py_function(
            lambda x: loaded.append(float(x)) or x, [picture[0, 0, 0]], tf.float32
        )
        with tf.control_dependencies([seen]):
            return tf.identity(picture), label

    dataset = kx.balanced(numbered(batch_size=1).unbatch().map(load).batch(8), seed=1)
    loaded.clear()
    epochs(dataset, 1)
    # What an epoch lacks comes from the start of the next pass, up to what is shuffled ahead.
    assert len(set(loaded[:100])) == 100


def test_how_pictures_were_resized_stays_noted():
    data = kx.arrays(np.zeros([20, 9, 8, 3], "uint8"), [0, 1] * 10, resize="pad")
    assert kx.balanced(data.train).resize == "pad"


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (numbered().repeat(), "infinite dataset"),
        (numbered().take(0), "0 examples"),
        (numbered(np.array([0, 2, 2])), r"from 0 to 2. Received: none of \[1\]"),
        (numbered(np.array([0, -1])), r"labels \[-1, 0\]"),
        (numbered(np.array([0.0, 1.0])), "one int label"),
        (numbered(np.eye(2, dtype=int)), "one int label"),
        (numbered().map(lambda x, y: x), "one int label"),
    ],
)
def test_what_cannot_be_balanced_is_refused(dataset, message):
    with pytest.raises(ValueError, match=message):
        kx.balanced(dataset)


def test_a_buffer_of_nothing_is_refused():
    with pytest.raises(ValueError, match="Received: 0"):
        kx.balanced(numbered(), shuffle_buffer=0)
