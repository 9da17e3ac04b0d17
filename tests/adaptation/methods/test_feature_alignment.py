import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.feature_alignment import FeatureAlignment


@pytest.fixture
def domains(domain, batch):
    return batch(domain(9, 0)), batch(domain(6, 1, shift=0.5))


def weighted_gap(source, target, source_weights, target_weights):
    means = (np.average(x, 0, w) for x, w in ((source, source_weights), (target, target_weights)))
    return tf.constant(np.sum((next(means) - next(means)) ** 2), tf.float32)


def test_term_is_the_sum_over_layers(domains, prepared):
    source, target = domains
    found = prepared(FeatureAlignment(weighted_gap)).term(source, target)
    expected = sum(
        weighted_gap(a, b, source.weights, target.weights)
        for a, b in zip(source.features, target.features, strict=True)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_each_layer_has_its_own_moving_bandwidth(domains, prepared):
    method = prepared(FeatureAlignment(kx.MaximumMeanDiscrepancy(momentum=0.5)))
    for scale in (1.0, 3.0):
        batches = [one._replace(features=tuple(scale * x for x in one.features)) for one in domains]
        method.term(*batches)
    method.term(*(one._replace(training=False) for one in domains))  # moves nothing
    found = [float(w.numpy()) for w in method.non_trainable_weights]
    for number, bandwidth in enumerate(found):
        pooled = np.concatenate([one.features[number] for one in domains])
        weights = np.concatenate([one.weights for one in domains])
        pairs = [(i, j) for i in range(15) for j in range(15) if i != j]
        mean = np.average(
            [((pooled[i] - pooled[j]) ** 2).sum() for i, j in pairs],
            weights=[weights[i] * weights[j] for i, j in pairs],
        )
        assert bandwidth == pytest.approx((mean + 9 * mean) / 2, rel=1e-4)
    assert len(found) == 2


def test_layers_of_other_widths_have_their_own_frequencies(domains, prepared):
    layer = kx.RandomFourierMMD(8)
    method = prepared(FeatureAlignment(layer))
    assert [w.shape for w in method.weights] == [(7, 8), (6, 8)]
    source, target = domains
    expected = [
        kx.RandomFourierMMD(8)(a, b, source.weights, target.weights)
        for a, b in zip(source.features, target.features, strict=True)
    ]
    np.testing.assert_allclose(method.term(source, target), sum(map(float, expected)), rtol=1e-5)


def test_a_layer_without_weights_is_shared():
    layer = kx.DeepCoral()
    method = FeatureAlignment(layer)
    method.prepare([7, 6], 4, None)
    assert list(method.of_layers) == [layer, layer]


def test_whether_xla_is_possible_is_the_discrepancys():
    assert FeatureAlignment(weighted_gap).supports_jit
    assert FeatureAlignment(kx.DeepCoral()).supports_jit
    assert not FeatureAlignment(kx.MaximumMeanDiscrepancy()).supports_jit
    layer = kx.MaximumMeanDiscrepancy(momentum=0.5)
    layer.supports_jit = True
    method = FeatureAlignment(layer)
    method.prepare([7, 6], 4, None)
    assert method.supports_jit
    assert all(one.supports_jit for one in method.of_layers)


def test_layers_of_a_user_are_built_before_training():
    class Scaled(keras.layers.Layer):
        def build(self, source_shape, *shapes):
            self.scale = self.add_weight([source_shape[-1]], "ones")

        def call(self, source, target, source_weights=None, target_weights=None):
            gap = tf.reduce_mean(source, 0) - tf.reduce_mean(target, 0)
            return tf.reduce_sum(tf.convert_to_tensor(self.scale) * gap**2)

    method = FeatureAlignment(Scaled())
    method.prepare([7], 4, None)
    assert [w.shape for w in method.trainable_weights] == [(7,)]
