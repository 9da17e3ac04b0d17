import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

N, CLASSES = 12, 5
RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(scale=3.0, size=(N, CLASSES))
LABELS = RANDOM.integers(0, CLASSES, N)
WEIGHTS = RANDOM.uniform(0.1, 3.0, N)
P = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True)
P_TRUE = P[np.arange(N), LABELS]
ONE_HOT = np.eye(CLASSES)[LABELS]


def smoothed(share):
    return -((ONE_HOT * (1 - share) + share / CLASSES) * np.log(P)).sum(axis=-1)


# Each loss for one-hot labels, and what it gives for each example, in float64.
LOSSES = {
    "cross-entropy": (keras.losses.CategoricalCrossentropy, {}, -np.log(P_TRUE)),
    "smoothing": (keras.losses.CategoricalCrossentropy, {"label_smoothing": 0.2}, smoothed(0.2)),
    "focal": (
        keras.losses.CategoricalFocalCrossentropy,
        {"alpha": 0.3, "gamma": 1.5},
        -0.3 * (1 - P_TRUE) ** 1.5 * np.log(P_TRUE),
    ),
    "generalized": (kx.GeneralizedCrossEntropy, {"q": 0.7}, (1 - P_TRUE**0.7) / 0.7),
    "absolute": (kx.GeneralizedCrossEntropy, {"q": 1.0}, 1 - P_TRUE),
}


def make(name, reduction="sum_over_batch_size"):
    loss, options, _ = LOSSES[name]
    if loss is not kx.GeneralizedCrossEntropy:
        options = {**options, "from_logits": True}
    return loss(**options, reduction=reduction)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(N,), (N, 1)])
def test_losses_of_int_labels_match_numpy(name, shape):
    expected = LOSSES[name][2]
    labels = LABELS.reshape(shape)
    each = kx.SparseLabels(make(name, None))(labels, LOGITS)
    np.testing.assert_allclose(each, expected, rtol=1e-6, atol=1e-6)
    weighted = kx.SparseLabels(make(name, "sum"))(labels, LOGITS, WEIGHTS)
    np.testing.assert_allclose(weighted, (expected * WEIGHTS).sum(), rtol=1e-6)
    mean = kx.SparseLabels(make(name))(labels, LOGITS, WEIGHTS)
    np.testing.assert_allclose(mean, (expected * WEIGHTS).mean(), rtol=1e-6)


def test_generalized_cross_entropy_of_mixed_labels_is_the_mean_of_its_parts():
    mixed = 0.3 * ONE_HOT + 0.7 * ONE_HOT[::-1]
    parts = (1 - P**0.7) / 0.7
    loss = kx.GeneralizedCrossEntropy(0.7)(mixed, LOGITS)
    np.testing.assert_allclose(loss, (mixed * parts).sum(axis=-1).mean(), rtol=1e-6)


def test_generalized_cross_entropy_nears_cross_entropy_for_small_q():
    loss = kx.SparseLabels(kx.GeneralizedCrossEntropy(1e-4))(LABELS, LOGITS)
    np.testing.assert_allclose(loss, -np.log(P_TRUE).mean(), rtol=1e-3)


def test_generalized_cross_entropy_has_a_gradient_where_the_model_is_sure():
    # Through probabilities, as in Keras, p ** (q - 1) is infinite once p is rounded to 0.
    logits = keras.Variable([[0.0, 200.0]])
    with tf.GradientTape() as tape:
        loss = kx.SparseLabels(kx.GeneralizedCrossEntropy(0.5))(np.array([0]), logits)
    assert np.isfinite(tape.gradient(loss, logits.value)).all()


@pytest.mark.parametrize("name", LOSSES)
def test_config_makes_the_same_loss(name):
    loss = kx.SparseLabels(make(name, "sum"), name="mine")
    config = keras.saving.serialize_keras_object(loss)
    same = keras.saving.deserialize_keras_object(config)
    assert same.name == "mine"
    np.testing.assert_array_equal(same(LABELS, LOGITS), loss(LABELS, LOGITS))


def test_fine_tuning_keeps_the_loss_and_counts_int_labels(tiny_backbone, tiny_data, tmp_path):
    model = kx.Classifier(tiny_backbone, tiny_data.class_names)
    loss = kx.SparseLabels(kx.GeneralizedCrossEntropy())
    model.compile(loss=loss, metrics=["accuracy"])
    [history] = kx.fine_tune(model, tiny_data.train, tiny_data.validation, epochs=1, verbose=0)
    assert model.loss is loss
    assert {"accuracy", "val_accuracy", "val_loss"} < set(history.history)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.loss.loss.q == 0.7


def test_one_hot_labels_where_ints_are_expected_are_refused():
    loss = kx.SparseLabels(keras.losses.CategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=r"one int label.*\(12, 5\)"):
        loss(ONE_HOT, LOGITS)


def test_settings_out_of_range_are_refused():
    for q in (0.0, 1.1, -1):
        with pytest.raises(ValueError, match="at most 1. Received: q="):
            kx.GeneralizedCrossEntropy(q)
    with pytest.raises(ValueError, match="Received: loss='mse'"):
        kx.SparseLabels("mse")
