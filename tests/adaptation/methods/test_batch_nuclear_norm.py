import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.batch_nuclear_norm import nuclear_norm

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(7, 4), (3, 5), (1, 4)])
def test_norm_and_gradient_match_numpy(shape):
    matrix = RANDOM.normal(size=shape)
    given = tf.constant(matrix)
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = nuclear_norm(given)
    gradient = tape.gradient(found, given).numpy()
    assert float(found) == pytest.approx(np.linalg.norm(matrix, "nuc"))
    for index in np.ndindex(*shape):
        step = np.zeros(shape)
        step[index] = 1e-6
        difference = np.linalg.norm(matrix + step, "nuc") - np.linalg.norm(matrix - step, "nuc")
        assert gradient[index] == pytest.approx(difference / 2e-6, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.zeros((3, 2)), np.zeros((3, 2))),
        (np.eye(3), np.eye(3)),  # equal singular values
        (np.ones((4, 2)), np.ones((4, 2)) / 8**0.5),  # rank 1
    ],
)
def test_gradient_is_defined_where_singular_values_are_equal_or_0(matrix, expected):
    given = tf.constant(matrix, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = nuclear_norm(given)
    np.testing.assert_allclose(tape.gradient(found, given), expected, atol=1e-5)


def test_term_matches_numpy_and_a_weight_counts_as_so_many_examples(domain, batch):
    source, target = domain(9, 0), domain(6, 1)
    target["weights"] = np.array([1, 2, 1, 3, 0, 1])
    p = np.exp(target["logits"])
    p /= p.sum(1, keepdims=True)
    repeated = np.repeat(p, target["weights"], axis=0)
    expected = -np.linalg.norm(repeated, "nuc") / 8
    found = kx.BatchNuclearNorm().term(batch(source), batch(target))
    assert float(found) == pytest.approx(expected, rel=1e-5)
