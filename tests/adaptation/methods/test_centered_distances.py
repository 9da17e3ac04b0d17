import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.adaptation.methods.centered_distances import centered_squared_distances

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(7, 3)), RANDOM.normal(size=(5, 3))


@pytest.mark.parametrize(("shift", "rtol"), [(0, 1e-4), (1e3, 1e-3)])
def test_squared_distances_match_loops_also_far_from_the_origin(shift, rtol):
    x, y = (tf.constant(z + shift, tf.float32) for z in (X, Y))
    found = centered_squared_distances(x, y).numpy()
    for i, j in np.ndindex(7, 5):
        assert found[i, j] == pytest.approx(((X[i] - Y[j]) ** 2).sum(), rel=rtol)


def test_equal_examples_are_at_distance_0():
    x = tf.constant(100 * RANDOM.normal(size=(6, 50)), tf.float32)
    np.testing.assert_array_equal(
        tf.linalg.diag_part(centered_squared_distances(x, x)), np.zeros(6)
    )
