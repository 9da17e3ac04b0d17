"""A single dense layer is solved for."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

import keras_transfer as kx

PENALTY = 100.0


def identity_model(classes, **options):
    """Numbers as they are, through a frozen layer, and a head."""
    backbone = keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            keras.layers.Rescaling(1 / 64, -2.0),
            keras.layers.Flatten(),
            keras.layers.Dense(10, kernel_initializer=keras.initializers.RandomNormal(seed=0)),
        ],
        name="net",
    )
    make = kx.Regressor if classes is None else kx.Classifier
    return make(backbone, 1 if classes is None else classes, **options)


def examples(count=60, classes=3):
    x = np.random.default_rng(0).integers(0, 255, (count, 4, 4, 3), dtype="uint8")
    return x, (x.reshape(count, -1)[:, 0].astype(int) * classes // 256)


def features_of(model, x):
    return model.get_layer("net")(x.astype("float32")).numpy().astype("float64")


def solved(model, x, y, tmp_path, **options):
    names = options.pop("class_names", None)
    data = kx.arrays(x, y, class_names=names, batch_size=16, validation_split=0.25)
    cache = kx.FeatureCache(tmp_path)
    histories = kx.fine_tune(
        model, data.train, data.validation, solver="lbfgs", cache=cache, verbose=0, **options
    )
    batches = [(a.numpy(), b.numpy()) for a, b in data.train]
    pictures, labels = (np.concatenate(column) for column in zip(*batches, strict=True))
    return histories, pictures, labels


def test_it_is_logistic_regression(tmp_path):
    model = identity_model(3, dropout=0.5)
    [history], x, y = solved(model, *examples(), tmp_path)
    reference = LogisticRegression(C=1 / PENALTY, tol=1e-8, max_iter=10_000)
    reference.fit(features_of(model, x), y)
    kernel, _ = (w.numpy() for w in model.get_layer("logits").weights)
    expected = reference.coef_.T
    np.testing.assert_allclose(kernel, expected, atol=2e-3)
    probabilities = keras.ops.softmax(model.predict(x, verbose=0))
    np.testing.assert_allclose(
        probabilities, reference.predict_proba(features_of(model, x)), atol=2e-3
    )
    assert history.epoch == [0]
    logs = {name: values[0] for name, values in history.history.items()}
    assert set(logs) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert logs["accuracy"] == pytest.approx(reference.score(features_of(model, x), y), abs=0.03)


def test_it_is_ridge_regression(tmp_path):
    model = identity_model(None)
    x, _ = examples()
    values = x.reshape(60, -1)[:, :5].mean(axis=1) / 255
    _, x, y = solved(model, x, values.astype("float32"), tmp_path)
    reference = Ridge(alpha=PENALTY / 2).fit(features_of(model, x), y)
    predicted = model.predict(x, verbose=0)[:, 0]
    np.testing.assert_allclose(predicted, reference.predict(features_of(model, x)), atol=1e-3)


def test_classes_are_weighed_and_a_regularizer_takes_the_place_of_the_penalty(tmp_path):
    model = identity_model(3)
    weights = {0: 1.0, 1: 5.0, 2: 2.0}
    options = {"class_weight": weights, "regularizer": kx.L2(0.0, 0.05)}
    _, x, y = solved(model, *examples(), tmp_path, **options)
    # Mean over examples, not over their weights; 0.05 / 2 * |W|^2.
    reference = LogisticRegression(
        C=1 / (0.05 * len(y)), class_weight=weights, tol=1e-8, max_iter=10_000
    ).fit(features_of(model, x), y)
    expected = reference.predict_proba(features_of(model, x))
    found = keras.ops.softmax(model.predict(x, verbose=0))
    assert np.abs(found - expected).max() < 0.05
    assert all(weight.regularizer is None for weight in model.weights)


def test_the_model_is_left_as_after_other_training(tmp_path):
    model = identity_model(3)
    solved(model, *examples(), tmp_path)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = examples()[0].astype("float32")
    np.testing.assert_allclose(loaded(x), model(x))


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        ({"hidden": [4]}, {}, r"single dense layer.*'hidden_?\w*.*Dense"),
        ({"standardize": True}, {}, r"single dense layer.*BatchNorm"),
        ({}, {"strategy": kx.FineTuning(1)}, "single dense layer"),
        ({}, {"epochs": 3}, "Received: .* with {'epochs': 3}"),
        ({}, {"strategy": kx.Sequence([kx.FeatureExtraction()] * 2)}, "of one stage"),
        ({}, {"cache": None}, "Expected a cache"),
        ({}, {"solver": "newton"}, "None or 'lbfgs'"),
    ],
    ids=["hidden", "standardize", "blocks", "epochs", "stages", "cache", "solver"],
)
def test_what_has_no_closed_form_is_refused(tiny_backbone, tiny_data, head, options, message):
    model = kx.Classifier(tiny_backbone, 2, **head)
    with pytest.raises(ValueError, match=message):
        kx.fine_tune(model, tiny_data.train, **{"solver": "lbfgs", "verbose": 0, **options})
