import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(2.0, size=(9, 4))
TARGET = RANDOM.normal(-1.0, 1.5, size=(6, 4))
WEIGHTS = (RANDOM.uniform(0.1, 2.0, 9), RANDOM.uniform(0.1, 2.0, 6))


def covariance(x, w):
    p = w / w.sum()
    mean = sum(p[i] * x[i] for i in range(len(x)))
    total = np.zeros([x.shape[1]] * 2)
    for i in range(len(x)):
        total += p[i] * np.outer(x[i] - mean, x[i] - mean)
    return total / (1 - (p**2).sum())


def expected(x, y, w, v):
    return ((covariance(x, w) - covariance(y, v)) ** 2).sum() / (4 * x.shape[1] ** 2)


def test_it_equals_loops_with_unequal_numbers_and_weights():
    found = kx.DeepCoral()(SOURCE, TARGET, *WEIGHTS)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected(SOURCE, TARGET, *WEIGHTS), atol=1e-6)


def test_without_weights_covariances_are_numpys():
    wanted = ((np.cov(SOURCE.T) - np.cov(TARGET.T)) ** 2).sum() / 64
    np.testing.assert_allclose(kx.DeepCoral()(SOURCE, TARGET), wanted, atol=1e-6)


def test_gradient_equals_finite_differences():
    x = tf.Variable(SOURCE, dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = kx.DeepCoral()(x, TARGET.astype("float32"), *WEIGHTS)
    found = tape.gradient(value, x).numpy()
    for index in np.ndindex(SOURCE.shape):
        values = []
        for step in (1e-5, -1e-5):
            moved = SOURCE.copy()
            moved[index] += step
            values.append(expected(moved, TARGET, *WEIGHTS))
        np.testing.assert_allclose(found[index], (values[0] - values[1]) / 2e-5, atol=1e-5)


def test_means_and_padding_play_no_part():
    wanted = kx.DeepCoral()(SOURCE, TARGET)
    np.testing.assert_allclose(kx.DeepCoral()(SOURCE + 1e3, TARGET), wanted, atol=1e-4)
    padded = np.concatenate([SOURCE, np.full([3, 4], np.nan)])
    found = kx.DeepCoral()(padded, TARGET, np.arange(12) < 9)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_bad_input_has_a_defined_result():
    x = tf.Variable(SOURCE[:3], dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = kx.DeepCoral()(x, TARGET.astype("float32"), np.array([1, 0, 0]))
    assert value == 0
    assert not tape.gradient(value, x).numpy().any()
    with pytest.warns(UserWarning, match="1 of the source, 6 of the target"):
        assert kx.DeepCoral()(SOURCE[:1], TARGET) == 0
    assert kx.DeepCoral()(np.ones([3, 4]), np.zeros([2, 4])) == 0
    assert np.isnan(kx.DeepCoral()(SOURCE * np.nan, TARGET))
    with pytest.raises(ValueError, match="one width"):
        kx.DeepCoral()(SOURCE, TARGET[:, :2])


def test_it_computes_in_float32_in_graphs_and_under_a_policy_of_float16():
    keras.config.set_dtype_policy("mixed_float16")
    halves = [tf.constant(each, tf.float16) for each in (300 * SOURCE, 300 * TARGET)]
    found = tf.function(kx.DeepCoral(), jit_compile=True)(*halves)
    wanted = expected(*(each.numpy().astype("float64") for each in halves), np.ones(9), np.ones(6))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
