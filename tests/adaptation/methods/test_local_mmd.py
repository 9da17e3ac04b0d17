import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.method import DomainBatch

RANDOM = np.random.default_rng(0)
CLASSES = 4
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3])  # 3 is one example, too few for the unbiased
N, M = len(LABELS), 7
SOURCE = [RANDOM.normal(size=(N, 3)), RANDOM.normal(size=(N, 5))]
TARGET = [RANDOM.normal(0.6, size=(M, 3)), RANDOM.normal(0.6, size=(M, 5))]
LOGITS = RANDOM.normal(scale=2.0, size=(M, CLASSES))
LOGITS[:, 2] -= 20  # nobody's class
LOGITS[0, 3] += 20
WEIGHTS = (RANDOM.uniform(0.2, 2.0, N), RANDOM.uniform(0.2, 2.0, M))


def batches(source=SOURCE, target=TARGET, labels=None, logits=LOGITS, weights=WEIGHTS):
    one_hot = np.eye(CLASSES)[LABELS] if labels is None else labels
    empty = {"inputs": None, "classify": lambda x: x}
    return [
        DomainBatch(
            features=tuple(tf.constant(each, tf.float32) for each in features),
            logits=tf.constant(values, tf.float32),
            labels=tf.constant(y, tf.float32) if y is not None else None,
            weights=tf.constant(w, tf.float32),
            **empty,
        )
        for features, values, y, w in (
            (source, np.zeros([len(source[0]), CLASSES]), one_hot, weights[0]),
            (target, logits, None, weights[1]),
        )
    ]


def expected_of_layer(x, y, estimator):
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    pooled, weights = np.concatenate([x, y]), np.concatenate(WEIGHTS)
    everything = range(N + M)
    pairs = [(i, j) for i in everything for j in everything if i != j]
    g = np.average(
        [((pooled[i] - pooled[j]) ** 2).sum() for i, j in pairs],
        weights=[weights[i] * weights[j] for i, j in pairs],
    )

    def k(a, b):
        return np.mean([math.exp(-((a - b) ** 2).sum() / (f * g)) for f in (0.25, 0.5, 1, 2, 4)])

    def mean(a, b, w, v, same):
        found = [
            (w[i] * v[j], k(a[i], b[j]))
            for i in range(len(a))
            for j in range(len(b))
            if not (same and i == j and estimator == "unbiased")
        ]
        return sum(w * value for w, value in found) / sum(w for w, _ in found)

    values = []
    for c in range(CLASSES):
        w, v = WEIGHTS[0] * (c == LABELS), WEIGHTS[1] * probabilities[:, c]
        enough = (c == LABELS).sum() > (1 if estimator == "unbiased" else 0)
        if enough and (probabilities.argmax(axis=1) == c).any():
            between = mean(x, y, w, v, False)
            values.append(mean(x, x, w, w, True) + mean(y, y, v, v, True) - 2 * between)
    assert len(values) == (2 if estimator == "unbiased" else 3)
    return np.mean(values)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_term_equals_loops_over_classes_with_unequal_numbers_and_weights(estimator):
    found = kx.LocalMMD(estimator=estimator).term(*batches())
    wanted = sum(expected_of_layer(x, y, estimator) for x, y in zip(SOURCE, TARGET, strict=True))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_one_class_is_the_plain_mmd(estimator):
    one, logits = np.eye(CLASSES)[np.zeros(N, int)], np.tile([50.0, 0, 0, 0], (M, 1))
    found = kx.LocalMMD(estimator=estimator).term(
        *batches(SOURCE[:1], TARGET[:1], labels=one, logits=logits)
    )
    plain = kx.MaximumMeanDiscrepancy(estimator=estimator)
    np.testing.assert_allclose(found, plain(SOURCE[0], TARGET[0], *WEIGHTS), atol=1e-6)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_classes_that_no_two_domains_share_give_zero_and_a_gradient_of_zero(estimator):
    labels, logits = np.eye(CLASSES)[np.zeros(N, int)], np.tile([0, 0, 30.0, 0], (M, 1))
    source, target = batches(labels=labels, logits=logits)
    watched = [*source.features, *target.features]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        value = kx.LocalMMD(estimator=estimator).term(source, target)
    assert value == 0
    for each in tape.gradient(value, watched):
        np.testing.assert_array_equal(each, np.zeros(each.shape))


@pytest.mark.parametrize("scale", [1, 300])
def test_gradients_reach_features_and_not_the_probabilities(scale):
    source, target = batches(logits=scale * LOGITS)
    watched = [*source.features, *target.features, target.logits]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        value = kx.LocalMMD().term(source, target)
    *found, of_logits = tape.gradient(value, watched)
    assert of_logits is None
    assert all(np.isfinite(each).all() and np.abs(each).max() > 0 for each in found)


def test_examples_without_a_label_or_of_weight_zero_do_not_count():
    some = np.arange(N) % 4 > 0
    labels = np.eye(CLASSES)[LABELS] * some[:, None]
    found = kx.LocalMMD(bandwidth=2.0).term(*batches(labels=labels))
    fewer = [each[some] for each in SOURCE]
    weights = (WEIGHTS[0][some], WEIGHTS[1])
    wanted = kx.LocalMMD(bandwidth=2.0).term(*batches(fewer, labels=labels[some], weights=weights))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    nothing = (WEIGHTS[0], np.zeros(M))
    assert kx.LocalMMD().term(*batches(weights=nothing)) == 0


def test_nan_comes_out_as_nan():
    assert np.isnan(kx.LocalMMD().term(*batches(target=[TARGET[0] * np.nan, TARGET[1]])))
    assert np.isnan(kx.LocalMMD().term(*batches(logits=LOGITS * np.nan)))


def test_constant_features_give_zero_and_a_warning():
    ones = [np.ones_like(each) for each in SOURCE], [np.ones_like(each) for each in TARGET]
    with pytest.warns(UserWarning, match="local is switched off"):
        value = kx.LocalMMD(name="local").term(*batches(*ones))
    np.testing.assert_allclose(value, 0, atol=1e-6)


def test_it_runs_in_graphs_and_in_xla():
    method = kx.LocalMMD()
    wanted = method.term(*batches())
    np.testing.assert_allclose(tf.function(lambda: method.term(*batches()))(), wanted, atol=1e-6)
    method.supports_jit = True
    run = tf.function(lambda: method.term(*batches()), jit_compile=True)
    np.testing.assert_allclose(run(), wanted, atol=1e-6)


def test_config_makes_the_same_method_and_bad_settings_are_refused():
    method = kx.LocalMMD(3, 2.5, "biased", name="mine")
    same = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(method))
    assert same.get_config() == method.get_config()
    for settings, message in (
        ({"bandwidth": "mode"}, "bandwidth='mode'"),
        ({"estimator": "linear"}, "Received: 'linear'"),
    ):
        with pytest.raises(ValueError, match=message):
            kx.LocalMMD(**settings)
