"""Methods that users write."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

RANDOM = np.random.default_rng(0)
X, Z = (RANDOM.normal(size=(n, 3)).astype("float32") for n in (5, 4))
LABELS, WEIGHTS = np.array([0, 1, 1, 0, 1]), RANDOM.uniform(0.2, 2, 4).astype("float32")


class Distance(kx.Method):
    """Between the mean of the source's features and a place that is learned."""

    default_weight = 2.0

    def prepare(self, widths, num_classes, inputs):
        self.place = self.add_weight(shape=(widths[-1],), initializer="ones", name="place")

    def term(self, source, target):
        return tf.reduce_sum(tf.square(tf.reduce_mean(source.features[-1], 0) - self.place))


class Weighted(kx.Method):
    """What of a batch can be read off its numbers."""

    def term(self, source, target):
        weighted = tf.tensordot(target.weights, target.logits[:, 0], 1)
        again = tf.reduce_sum(target.classify(target.features[-1]))
        return weighted + again + tf.reduce_sum(source.labels[:, 0])


def adapted(method):
    body = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="relu")])
    model = kx.Classifier(body, 2)
    model.layers[-1].kernel.assign(RANDOM.normal(size=(4, 2)))
    made = kx.DomainAdaptation(model, method, schedule="constant")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(keras.optimizers.SGD(0.1), loss)
    return made


def pairs(*weights):
    source = tf.data.Dataset.from_tensors((X, LABELS, np.ones(5)) if weights else (X, LABELS))
    target = (Z, np.zeros(4, int), *weights) if weights else Z
    target = tf.data.Dataset.from_tensors(target)
    return kx.pair_domains(source, target, target_labels="ignore" if weights else None)


def test_own_weights_learn_with_the_model():
    made = adapted(Distance())
    features = np.maximum(X.astype("float64") @ made.model.layers[1].layers[0].kernel.numpy(), 0)
    logs = made.fit(pairs(), verbose=0).history
    apart = features.mean(0) - 1
    assert logs["adaptation_loss"][0] == pytest.approx(2 * np.square(apart).sum(), rel=1e-5)
    np.testing.assert_allclose(made.method.place, 1 + 0.1 * 2 * 2 * apart, rtol=1e-5)


def test_a_batch_has_weights_logits_features_and_labels():
    made = adapted(Weighted())
    logits = made.model(Z).numpy().astype("float64")
    logs = made.fit(pairs(WEIGHTS), verbose=0).history
    expected = WEIGHTS @ logits[:, 0] + logits.sum() + np.sum(LABELS == 0)
    assert logs["adaptation_loss"][0] == pytest.approx(expected, rel=1e-5)
