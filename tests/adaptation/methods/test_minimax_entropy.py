import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

T = 0.5


def softmax(z):
    exps = np.exp(z - z.max(-1, keepdims=True))
    return exps / exps.sum(-1, keepdims=True)


def test_classifier_and_features_get_opposite_gradients(domain, batch):
    arrays = domain(6, 1)
    target = batch(arrays)
    kernel = tf.Variable(np.random.default_rng(3).normal(size=(6, 4)), dtype="float32")
    target = target._replace(classify=lambda features: tf.matmul(features, kernel))
    with tf.GradientTape() as tape:
        tape.watch(target.features[-1])
        term = kx.MinimaxEntropy(T).term(batch(domain(9, 0)), target)
    of_features, of_kernel = tape.gradient(term, [target.features[-1], kernel])
    x, w = arrays["features"][-1], arrays["weights"] / arrays["weights"].sum()
    p = softmax(x @ kernel.numpy().astype("float64") / T)
    entropies = -(p * np.log(p)).sum(1)
    assert float(term) == pytest.approx(-(w @ entropies), rel=1e-5)
    # d H / d z = -p (log p + H) / T
    slopes = -w[:, None] * p * (np.log(p) + entropies[:, None]) / T
    np.testing.assert_allclose(of_kernel, -x.T @ slopes, rtol=1e-4, atol=1e-5)
    # Reversed: the features descend the entropy that the classifier climbs.
    np.testing.assert_allclose(of_features, slopes @ kernel.numpy().T, rtol=1e-4, atol=1e-5)


def test_a_temperature_out_of_range_raises():
    with pytest.raises(ValueError, match="temperature=-1"):
        kx.MinimaxEntropy(-1)
