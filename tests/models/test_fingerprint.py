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


def test_a_setting_that_is_also_a_layers_name_counts():
    found = [
        fingerprint(model(layer=keras.layers.Activation(name, name=name)))
        for name in ("relu", "tanh")
    ]
    assert found[0] != found[1]


def test_functions_and_vocabularies_count():
    def one(x, factor=2.0):
        return x * factor

    def other(x, factor=3.0):
        return x * factor

    other.__name__ = other.__qualname__ = "one"
    found = [fingerprint(model(activation=function)) for function in (one, one, other)]
    assert found[0] == found[1] != found[2]
    words = [["a", "b"], ["a", "c"]]
    looked_up = []
    for vocabulary in words:
        lookup = keras.layers.IntegerLookup(vocabulary=[len(vocabulary[1]), ord(vocabulary[1])])
        lookup.vocabulary = None
        looked_up.append(fingerprint(keras.Sequential([keras.Input((1,), dtype="int64"), lookup])))
    assert looked_up[0] != looked_up[1]
