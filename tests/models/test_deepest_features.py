import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.models.deepest_features import deepest_features

PICTURES = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


def test_features_times_the_last_kernel_are_the_logits(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 4, hidden=[5], dropout=0.5)
    kernel = model.layers[-1].kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    features, logits = deepest_features(model).predict(PICTURES, verbose=0)
    assert features.shape == (3, 5)
    np.testing.assert_allclose(features @ kernel.numpy(), logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(logits, model.predict(PICTURES, verbose=0))


def test_sequential_models_are_taken():
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(6), keras.layers.Dense(3)])
    assert [x.shape for x in deepest_features(model).outputs] == [(None, 6), (None, 3)]


def test_layers_are_the_models_own(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 4)
    assert deepest_features(model).weights[-1] is model.weights[-1]


def test_models_that_end_otherwise_are_refused():
    class Subclassed(keras.Model):
        pass

    vector = keras.Input([3])
    activated = keras.Model(vector, keras.layers.ReLU()(keras.layers.Dense(2)(vector)))
    several = keras.Model(vector, [keras.layers.Dense(2)(vector), keras.layers.Dense(2)(vector)])
    for model in (Subclassed(), activated, several):
        with pytest.raises(ValueError, match=f"ends in a dense layer.*Received: .*{model.name}"):
            deepest_features(model)
