import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.adaptation.batches import domain_batch, is_pair, labeled

RANDOM = np.random.default_rng(0)
OUTPUTS = {"source": RANDOM.normal(size=(4, 3)), "target": RANDOM.normal(size=(3, 3))}
GIVEN = {domain: [tf.constant(x, tf.float16)] for domain, x in OUTPUTS.items()}
NUMBERS = {"source": tf.constant([2, 0, 1, 1]), "target": tf.constant([1, -1, 0])}
WEIGHTS = {"source": tf.constant([1.0, 2, 3, 4]), "target": tf.constant([5.0, 6, 7])}


def test_pairs_are_told_by_their_keys():
    assert is_pair({"target": 1, "source": 2})
    assert not is_pair({"source": 1})
    assert not is_pair({"source": 1, "target": 2, "padding_mask": 3})
    assert not is_pair(["source", "target"])
    assert not is_pair(None)


def test_labeled_is_the_source_alone_where_the_target_has_none():
    y, outputs, weights = labeled({"source": NUMBERS["source"]}, GIVEN, None)
    assert y is NUMBERS["source"]
    assert outputs is GIVEN["source"][-1]
    assert weights is None
    assert labeled({"source": NUMBERS["source"]}, GIVEN, WEIGHTS)[2] is WEIGHTS["source"]


@pytest.mark.parametrize("column", [False, True])
def test_labels_below_0_are_none(column):
    numbers = {domain: y[:, None] if column else y for domain, y in NUMBERS.items()}
    y, outputs, weights = labeled(numbers, GIVEN, WEIGHTS)
    assert np.ravel(y).tolist() == [2, 0, 1, 1, 1, 0]
    wanted = np.concatenate([OUTPUTS["source"], OUTPUTS["target"][[0, 2]]]).astype("float16")
    np.testing.assert_array_equal(outputs, wanted)
    assert weights.numpy().tolist() == [1, 2, 3, 4, 5, 7]


@pytest.mark.parametrize("width", [1, 3])
def test_numbers_below_0_are_values_of_a_regression(width):
    given = {domain: [x[0][:, :width]] for domain, x in GIVEN.items()}
    y = {domain: -tf.ones_like(x[0], tf.float32) for domain, x in given.items()}
    assert labeled(y, given, None)[0].shape == (7, width)
    flat = {domain: x[:, 0] for domain, x in y.items()}
    assert width == 3 or labeled(flat, given, None)[0].shape == (7,)


def of_domain(domain="source", y=None, weights=None, **options):
    known = {"classify": lambda x: x, "training": False} | options
    features = tf.zeros([len(OUTPUTS[domain]), 2], tf.float16)
    y_pred = {domain: [features, *GIVEN[domain]]}
    return domain_batch(domain, {domain: "inputs"}, y or {}, y_pred, weights, **known)


def test_batches_are_float32_with_weights_of_1():
    batch = of_domain()
    assert batch.inputs == "inputs"
    assert [x.dtype for x in (*batch.features, batch.logits, batch.weights)] == [tf.float32] * 3
    np.testing.assert_array_equal(batch.logits, OUTPUTS["source"].astype("float16"))
    np.testing.assert_array_equal(batch.weights, np.ones(4))
    assert batch.labels is None
    assert not batch.training


def test_labels_are_distributions_with_zeros_where_there_is_none():
    np.testing.assert_array_equal(of_domain("source", NUMBERS).labels, np.eye(3)[[2, 0, 1, 1]])
    np.testing.assert_array_equal(
        of_domain("target", NUMBERS).labels, [[0, 1, 0], [0, 0, 0], [1, 0, 0]]
    )
    soft = RANDOM.uniform(size=(4, 3))
    np.testing.assert_allclose(of_domain("source", {"source": tf.constant(soft)}).labels, soft)


def test_weights_are_one_number_an_example():
    column = {"source": tf.constant([[1], [2], [3], [4]])}
    weights = of_domain(weights=column).weights
    assert weights.dtype == tf.float32
    assert weights.numpy().tolist() == [1, 2, 3, 4]
