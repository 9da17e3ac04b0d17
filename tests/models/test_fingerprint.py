"""What tells one model from another."""

from __future__ import annotations

import keras
import pytest

from keras_transfer.models.exactness import NotExactError
from keras_transfer.models.fingerprint import fingerprint


def model(units=4, activation="relu", name=None, layer=None):
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(units, activation=activation, name=name),
        *([layer] if layer else []),
    ]
    return keras.Sequential([keras.Input((3,)), *layers])


def test_a_model_made_again_has_the_same_fingerprint():
    assert fingerprint(model()) == fingerprint(model()) == fingerprint(model(name="other"))


def test_other_settings_or_weights_have_another_fingerprint():
    moved = model()
    kernel = moved.weights[0].numpy()
    kernel[0, 0] += 1e-6
    moved.weights[0].assign(kernel)
    found = {fingerprint(m) for m in (model(), model(5), model(activation="gelu"), moved)}
    assert len(found) == 4


def test_the_code_of_a_users_layer_counts():
    def layer_class(factor):
        namespace = {"keras": keras, "__name__": "a_notebook"}
        code = f"class Own(keras.layers.Layer):\n  def call(self, x):\n    return x * {factor}"
        exec(code, namespace)  # as in a notebook, without a file
        return namespace["Own"]

    found = [fingerprint(model(layer=layer_class(factor)())) for factor in (2, 2, 3)]
    assert found[0] == found[1] != found[2]


def test_a_layer_without_config_cannot_be_told_from_others():
    class Own(keras.layers.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def call(self, x):
            return x

    with pytest.raises(NotExactError):
        fingerprint(model(layer=Own(object())))
