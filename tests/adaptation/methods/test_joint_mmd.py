import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.method import DomainBatch

RANDOM = np.random.default_rng(0)
N, M, CLASSES = 7, 5, 3
LADDER = (0.25, 0.5, 1, 2, 4)


def arrays(n, shift):
    features = (RANDOM.normal(shift, size=(n, 4)), RANDOM.normal(shift, 2.0, size=(n, 2)))
    logits = RANDOM.normal(scale=2.0, size=(n, CLASSES))
    labels = np.eye(CLASSES)[RANDOM.integers(0, CLASSES, n)]
    return features, logits, labels, RANDOM.uniform(0.2, 2.0, n)


SOURCE, TARGET = arrays(N, 0.0), arrays(M, 0.7)


def batch(values, weights=None, labels=True):
    features, logits, one_hot, own = values
    return DomainBatch(
        inputs=None,
        features=tuple(tf.constant(each, tf.float32) for each in features),
        logits=tf.constant(logits, tf.float32),
        labels=tf.constant(one_hot, tf.float32) if labels else None,
        weights=tf.constant(own if weights is None else weights, tf.float32),
        classify=lambda x: x,
    )


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def squared(a, b):
    return ((a - b) ** 2).sum()


def expected(source, target, estimator):
    layers = [np.concatenate(pair) for pair in zip(source[0], target[0], strict=True)]
    layers.append(np.concatenate([softmax(source[1]), softmax(target[1])]))
    weights = np.concatenate([source[3], target[3]])
    total = range(len(weights))
    bandwidths = []
    for values in layers:
        pairs = [(i, j) for i in total for j in total if i != j]
        distances = [squared(values[i], values[j]) for i, j in pairs]
        bandwidths.append(
            np.average(distances, weights=[weights[i] * weights[j] for i, j in pairs])
        )

    def mean(rows, columns):
        numerator = denominator = 0.0
        for i in rows:
            for j in columns:
                if i == j and estimator == "unbiased":
                    continue
                k = 1.0
                for values, g in zip(layers, bandwidths, strict=True):
                    d = squared(values[i], values[j])
                    k *= np.mean([math.exp(-d / (f * g)) for f in LADDER])
                numerator += weights[i] * weights[j] * k
                denominator += weights[i] * weights[j]
        return numerator / denominator

    first, second = total[: len(source[3])], total[len(source[3]) :]
    return mean(first, first) + mean(second, second) - 2 * mean(first, second)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_term_equals_loops_with_unequal_numbers_and_weights(estimator):
    found = kx.JointMMD(estimator=estimator).term(batch(SOURCE), batch(TARGET, labels=False))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected(SOURCE, TARGET, estimator), atol=1e-6)


def test_equal_predictions_leave_the_mmd_of_the_features():
    # As those of an output layer that begins at zero.
    flat = [(v[0][:1], np.zeros_like(v[1]), v[2], v[3]) for v in (SOURCE, TARGET)]
    found = kx.JointMMD().term(*(batch(each) for each in flat))
    wanted = kx.MaximumMeanDiscrepancy()(flat[0][0][0], flat[1][0][0], flat[0][3], flat[1][3])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_gradients_reach_features_and_logits():
    source, target = batch(SOURCE), batch(TARGET)
    watched = [*source.features, source.logits, *target.features, target.logits]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        value = kx.JointMMD().term(source, target)
    for each in tape.gradient(value, watched):
        assert np.isfinite(each).all()
        assert np.abs(each).max() > 0


def test_bad_batches_have_a_defined_result():
    method = kx.JointMMD(name="joint")
    one = batch(SOURCE, weights=np.arange(N) == 2)
    assert method.term(one, batch(TARGET)) == 0
    constant = [((np.ones([4, 2]),), np.ones([4, 3]), np.ones([4, 3]), np.ones(4))] * 2
    with pytest.warns(UserWarning, match="joint is switched off"):
        value = method.term(*(batch(each) for each in constant))
    np.testing.assert_allclose(value, 0, atol=1e-6)
    missing = batch((SOURCE[0], SOURCE[1] * np.nan, SOURCE[2], SOURCE[3]))
    assert np.isnan(method.term(missing, batch(TARGET)))


def test_it_runs_in_graphs_and_in_xla():
    method = kx.JointMMD()
    wanted = method.term(batch(SOURCE), batch(TARGET))
    run = tf.function(lambda: method.term(batch(SOURCE), batch(TARGET)))
    np.testing.assert_allclose(run(), wanted, atol=1e-6)
    method.supports_jit = True
    run = tf.function(lambda: method.term(batch(SOURCE), batch(TARGET)), jit_compile=True)
    np.testing.assert_allclose(run(), wanted, atol=1e-6)


def test_config_makes_the_same_method_and_bad_settings_are_refused():
    method = kx.JointMMD(3, "median", "biased", name="mine")
    same = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(method))
    assert same.get_config() == method.get_config()
    for settings, message in (
        ({"kernels": 0}, "Received: 0"),
        ({"estimator": "linear"}, "'unbiased', 'biased'.*Received: 'linear'"),
    ):
        with pytest.raises(ValueError, match=message):
            kx.JointMMD(**settings)
