import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.adaptation.methods.gradient_reversal import gradient_reversal

X = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")


@pytest.mark.parametrize("jit_compile", [False, True])
def test_values_stay_and_gradients_are_reversed_and_scaled(jit_compile):
    @tf.function(jit_compile=jit_compile)
    def run(x, factor):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = gradient_reversal(x, factor)
            loss = tf.reduce_sum(y**3)
        return y, tape.gradient(loss, x)

    y, gradient = run(tf.constant(X), tf.constant(0.7))
    np.testing.assert_array_equal(y, X)
    np.testing.assert_allclose(gradient, -0.7 * 3 * X**2, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dtype_is_kept(dtype):
    assert gradient_reversal(tf.constant(X, dtype), 0.5).dtype == dtype


def test_factor_may_be_a_variable():
    x, factor = tf.constant(X), tf.Variable(2.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(gradient_reversal(x, factor))
    np.testing.assert_array_equal(tape.gradient(loss, x), np.full_like(X, -2))
