import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.training.class_weights import class_weights, weights_of_examples


@pytest.fixture
def model(tiny_backbone):
    return kx.Classifier(tiny_backbone, ["cat", "dog", "eel"])


def dataset(labels):
    pictures = np.zeros([len(labels), 32, 32, 3], "float32")
    return tf.data.Dataset.from_tensor_slices((pictures, labels)).batch(4)


def test_classes_left_out_weigh_one(model):
    assert class_weights(model, dataset([0]), {2: 5.0}).tolist() == [1, 1, 5]
    assert class_weights(model, dataset([0]), None) is None


def test_balanced_is_one_over_the_share(model):
    weights = class_weights(model, dataset([0, 0, 0, 0, 1, 2]), "balanced")
    np.testing.assert_allclose(weights, [6 / (3 * 4), 6 / 3, 6 / 3])


@pytest.mark.parametrize("labels", [[0, 2, 1], [[0], [2], [1]], np.eye(3)[[0, 2, 1]]])
def test_examples_get_the_weight_of_their_class(labels):
    weights = weights_of_examples(tf.constant(labels), np.float32([1, 2, 3]))
    assert weights.numpy().tolist() == [1, 3, 2]


def test_shares_of_classes_get_the_mean_weight():
    weights = weights_of_examples(tf.constant([[0.5, 0.0, 0.5]]), np.float32([1, 2, 4]))
    assert weights.numpy().tolist() == [2.5]


def test_class_weights_multiply_weights_of_examples(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    model.layers[-1].bias.assign([1.0, -1.0])
    model.layers[-1].kernel.assign(0 * model.layers[-1].kernel)
    labels, weights = np.array([0, 1, 1, 0]), np.array([1.0, 2.0, 3.0, 4.0], "float32")
    weighted = tf.data.Dataset.from_tensor_slices(
        (np.zeros([4, 32, 32, 3], "float32"), labels, weights)
    ).batch(4)
    [history] = kx.fine_tune(model, weighted, epochs=1, class_weight={1: 5.0}, verbose=0)
    losses = np.log(1 + np.exp(-2.0)) + 2.0 * labels
    expected = (losses * weights * np.where(labels == 1, 5, 1)).mean()
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({0: 1.0, 3: 2.0}, r"0 to 2.*\['cat', 'dog', 'eel'\].*also: \[3\]"),
        ({"dog": 2.0}, r"also: \['dog'\]"),
        ({0: 0.0}, r"above 0.*\{0: 0.0\}"),
        ({1: float("nan")}, r"\{1: nan\}"),
        ({1: -2}, r"\{1: -2\}"),
        ("even", "'even'"),
    ],
)
def test_weights_that_cannot_be_are_refused(model, given, message):
    with pytest.raises(ValueError, match=message):
        class_weights(model, dataset([0, 1]), given)


def test_numbers_and_shares_are_not_balanced(model, tiny_backbone):
    for labels in ([0.5, 0.1], np.eye(3, dtype="float32")):
        with pytest.raises(ValueError, match="one int label"):
            class_weights(model, dataset(labels), "balanced")
    with pytest.raises(ValueError, match="no `class_weight`"):
        class_weights(kx.Regressor(tiny_backbone), dataset([0.5]), {0: 1.0})


def test_binary_models_of_others_have_two_classes(tiny_backbone):
    x = keras.layers.GlobalAveragePooling2D()(tiny_backbone.output)
    model = keras.Model(tiny_backbone.input, keras.layers.Dense(1, name="outputs")(x))
    assert class_weights(model, dataset([0, 1]), {1: 3.0}).tolist() == [1, 3]
