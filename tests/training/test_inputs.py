import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.models.tasks import ONE_CLASS, SEVERAL_CLASSES, with_mixed_labels
from keras_transfer.training.inputs import categorical, check_mixing, one_hot, prepared

N = 8
LABELS = np.arange(N) % 4


@pytest.fixture
def model(tiny_backbone):
    return kx.Classifier(tiny_backbone, 4)


def dataset(*more, labels=LABELS):
    pictures = np.broadcast_to(np.arange(N)[:, None, None, None], (N, 32, 32, 3))
    return tf.data.Dataset.from_tensor_slices((pictures.astype("float32"), labels, *more)).batch(N)


def test_mixing_comes_after_augmentation(model):
    pixels = keras.Input((32, 32, 3))
    squares = keras.Model(pixels, pixels * pixels)
    mix_up = keras.layers.MixUp(1.0, seed=0)
    [(pictures, labels)] = prepared(model, dataset().unbatch().batch(4).take(1), squares, mix_up, 1)
    # The square of a mixture would not be the mixture of squares.
    expected = labels.numpy() @ np.arange(4) ** 2
    np.testing.assert_allclose(pictures[:, 0, 0, 0], expected, rtol=1e-5, atol=1e-5)
    assert np.any(expected != np.round(expected))


def test_class_weights_are_mixed_with_the_labels(model):
    weights = np.float32([1, 2, 3, 4])
    layer = keras.layers.MixUp(1.0, seed=0)
    [(pictures, labels, mixed)] = prepared(model, dataset(), None, layer, 1, weights=weights)
    [(_, plain)] = prepared(model, dataset(), None, keras.layers.MixUp(1.0, seed=0), 1)
    np.testing.assert_allclose(mixed, plain.numpy() @ weights, rtol=1e-5)
    np.testing.assert_allclose(labels * mixed[:, None], plain * weights, rtol=1e-5, atol=1e-6)


def test_several_classes_at_once_are_mixed_as_they_are(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 4, multi_label=True)
    several = np.float32([[1, 1, 0, 0], [0, 0, 1, 1]] * 4)
    [(_, labels)] = prepared(
        model, dataset(labels=several), None, keras.layers.MixUp(1.0, seed=0), 1
    )
    np.testing.assert_allclose(labels[:, 0], labels[:, 1])
    np.testing.assert_allclose(labels[:, 0] + labels[:, 2], 1.0, rtol=1e-6)


def test_models_learn_from_mixed_pictures(model):
    task = with_mixed_labels(ONE_CLASS)
    model.compile("sgd", task.loss(), metrics=task.metrics())
    mixing = [keras.layers.MixUp(0.2), keras.layers.CutMix()]
    history = model.fit(
        prepared(model, dataset(), None, mixing, 1),
        validation_data=categorical(dataset(), 4),
        shuffle=False,
        verbose=0,
    )
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} == set(history.history)


def test_categorical_validation_gives_the_loss_of_int_labels(model):
    results = []
    for task, data in (
        (ONE_CLASS, dataset()),
        (with_mixed_labels(ONE_CLASS), categorical(dataset(), 4)),
    ):
        model.compile("sgd", task.loss(), metrics=task.metrics())
        results.append(model.evaluate(data, verbose=0, return_dict=True))
    assert results[0] == pytest.approx(results[1])
    assert with_mixed_labels(SEVERAL_CLASSES) is SEVERAL_CLASSES


def test_categorical_keeps_weights_and_shares():
    weights = np.arange(N, dtype="float32")
    [(_, labels, kept)] = categorical(dataset(weights, labels=np.eye(N)), N)
    np.testing.assert_array_equal(labels, np.eye(N))
    np.testing.assert_array_equal(kept, weights)


def test_labels_out_of_range_are_refused(model):
    wrong = dataset(labels=np.arange(N))
    for prepare in (
        lambda: list(prepared(model, wrong, None, keras.layers.MixUp(), 1)),
        lambda: list(categorical(wrong, 4)),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels from 0 to 3"):
            prepare()


@pytest.mark.parametrize("labels", [np.zeros([2, 3], int), np.zeros([2]), np.zeros([2, 1])])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(ValueError, match=r"one int label a picture, or \(batch, 4\)"):
        one_hot(tf.constant(labels), 4)


class Mine(keras.losses.SparseCategoricalCrossentropy):
    pass


SPARSE = [
    {"loss": "sparse_categorical_crossentropy"},
    {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
    {"loss": keras.losses.sparse_categorical_crossentropy},
    {"loss": Mine(from_logits=True)},
    {"loss": kx.SparseLabels(keras.losses.CategoricalCrossentropy())},
    {"loss": keras.losses.CategoricalGeneralizedCrossEntropy()},
    {"loss": "mse", "metrics": [keras.metrics.SparseCategoricalAccuracy()]},
    {"loss": "mse", "metrics": ["accuracy", "SparseCategoricalAccuracy"]},
    {"loss": "mse", "weighted_metrics": ["sparse_top_k_categorical_accuracy"]},
]


@pytest.mark.parametrize("compiled", SPARSE)
def test_losses_and_metrics_of_int_labels_are_refused_with_mixing(model, compiled):
    with pytest.raises(ValueError, match="CategoricalCrossentropy.*Received: "):
        check_mixing(model, compiled)


@pytest.mark.parametrize(
    "compiled",
    [
        {},
        {"loss": "categorical_crossentropy", "metrics": ["accuracy"]},
        {"loss": kx.GeneralizedCrossEntropy(), "metrics": [keras.metrics.CategoricalAccuracy()]},
        {"loss": lambda y_true, y_pred: y_pred, "metrics": None},
    ],
)
def test_losses_and_metrics_of_shares_pass(model, compiled):
    check_mixing(model, compiled)


def test_numbers_are_not_mixed(tiny_backbone):
    with pytest.raises(ValueError, match="Expected a classifier for `mixing`"):
        check_mixing(kx.Regressor(tiny_backbone), {})
