import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx


def dataset(size, batch_size, start=0, weighted=False):
    """Pictures, labels and weights are the numbers from `start` on."""
    x = np.arange(start, start + size, dtype="float32")
    parts = (x[:, None], x, x) if weighted else (x[:, None], x)
    return tf.data.Dataset.from_tensor_slices(parts).batch(batch_size)


def test_epoch_is_as_long_as_the_longest_and_others_start_again():
    joint = kx.joint_data({"long": dataset(10, 2), "short": dataset(5, 2, 100)})
    assert int(joint.cardinality()) == 5
    batches = [{task: y.numpy().tolist() for task, y in labels.items()} for _, labels in joint]
    assert [batch["long"] for batch in batches] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    short = [[100, 101], [102, 103], [104]]
    assert [batch["short"] for batch in batches] == (short + short)[:5]
    for pictures, labels in joint:
        for task in ("long", "short"):
            np.testing.assert_array_equal(pictures[task][:, 0], labels[task])


def test_shorter_ones_are_shuffled_anew():
    short = dataset(16, 16).unbatch().shuffle(16, seed=0).batch(16)
    joint = kx.joint_data({"long": dataset(3, 1), "short": short})
    orders = [tuple(labels["short"].numpy()) for _ in range(2) for _, labels in joint]
    assert len(set(orders)) == 6
    assert all(sorted(order) == list(range(16)) for order in orders)


def test_sample_weights_are_passed_on_and_are_one_elsewhere():
    joint = kx.joint_data({"a": dataset(3, 2, weighted=True), "b": dataset(2, 1)})
    weights = [{task: w.numpy().tolist() for task, w in weights.items()} for *_, weights in joint]
    assert weights == [{"a": [0, 1], "b": [1]}, {"a": [2], "b": [1]}]


def test_dataset_of_unknown_length_is_counted():
    odd = dataset(6, 1).filter(lambda x, y: y[0] % 2 == 1)
    assert int(kx.joint_data({"odd": odd, "one": dataset(1, 1)}).cardinality()) == 3


def test_resizing_is_noted_where_it_is_the_same(tiny_data):
    assert kx.joint_data({"a": tiny_data.train, "b": tiny_data.test}).resize == "stretch"
    assert not hasattr(kx.joint_data({"a": tiny_data.train, "b": dataset(2, 1)}), "resize")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: {}, r"at least one dataset. Received: \{\}"),
        (lambda: {"a": dataset(2, 1), "b": dataset(2, 1).repeat()}, "an infinite one for 'b'"),
        (lambda: {"a": dataset(2, 1).take(0)}, "an empty one for 'a'"),
        (lambda: {"a": tf.data.Dataset.range(3)}, "pictures, labels.*for 'a'"),
    ],
)
def test_data_that_cannot_be_joined_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        kx.joint_data(make())
