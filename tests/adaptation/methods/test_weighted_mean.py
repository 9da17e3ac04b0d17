import numpy as np
import tensorflow as tf

from keras_transfer.adaptation.methods.weighted_mean import weighted_mean


def test_weighted_mean_matches_numpy():
    random = np.random.default_rng(0)
    values, weights = random.normal(size=7), random.uniform(size=7)
    expected = np.average(values, weights=weights)
    np.testing.assert_allclose(weighted_mean(tf.constant(values), tf.constant(weights)), expected)


def test_without_any_weight_value_and_gradient_are_0():
    values = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(values)
        mean = weighted_mean(values, tf.zeros(2))
    assert float(mean) == 0
    np.testing.assert_array_equal(tape.gradient(mean, values), [0, 0])
