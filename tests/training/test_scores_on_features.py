"""`kx.TargetScore` in `kx.fine_tune`, where the frozen part runs once for each example."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.selection.target_scores import SCORES

SEEN: list[int] = []
# Two of three stages have something frozen, each more than the next.
STAGES = kx.GradualUnfreezing(3, batch_norm="trainable")


@keras.saving.register_keras_serializable("tests")
class Counts(keras.layers.Layer):
    """Notes how many examples come through."""

    def call(self, x):
        tf.py_function(lambda rows: SEEN.append(len(rows)), [x], [])
        return x


def backbone():
    """Two blocks, what comes into them counted."""
    pixels = keras.Input([32, 32, 3])
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(Counts()(pixels))
    for name, strides in (("first", 4), ("second", 2)):
        x = keras.layers.Conv2D(6, 3, strides, name=name)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(name=f"{name}_bn")(x))
    return keras.Model(pixels, x, name="backbone")


def domains():
    """40 dark pictures and 20 brighter ones of two classes, a fifth of each held out."""
    found = []
    for number, brightness in ((40, 0), (20, 60)):
        labels = np.arange(number) % 2
        noise = np.random.default_rng(number).integers(0, 100, (number, 32, 32, 3))
        pictures = (noise + 80 * labels[:, None, None, None] + brightness).astype("uint8")
        found.append(kx.arrays(pictures, labels, batch_size=8, validation_split=0.2))
    return found


@pytest.fixture
def train(tmp_path):
    """Trains the same model anew; gives what was logged."""

    def train(cache="auto", *, target=None, adapted=True, strategy=STAGES, epochs=3, verbose=0):
        keras.utils.set_random_seed(0)
        model = kx.Classifier(backbone(), 2, hidden=[4], standardize=True)
        model.layers[-1].kernel.assign(np.random.default_rng(0).normal(size=(4, 2)))
        source, other = domains()
        data = source.train
        if adapted:
            data = kx.pair_domains(source.train, other.train, target_labels="ignore")
            method = kx.MaximumMeanDiscrepancy()
            model = kx.DomainAdaptation(model, method, normalization="per_domain")
        guard = kx.CollapseGuard(min_source_share=0, min_entropy_share=0)
        held_out = other.validation if target is None else target(other.validation)
        score = kx.TargetScore(held_out, source.validation, scores=list(SCORES), guard=guard)
        cache = kx.FeatureCache(tmp_path) if cache == "auto" else cache
        SEEN.clear()
        histories = kx.fine_tune(
            model,
            data,
            epochs=epochs,
            cache=cache,
            callbacks=[score],
            verbose=verbose,
        )
        return [history.history for history in histories]

    return train


def without_labels(dataset):
    return dataset.map(lambda x, y: x)


def assert_alike(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert set(one) == set(other) >= {f"val_target_{name}" for name in ("score", *SCORES)}
        for name, values in other.items():
            np.testing.assert_allclose(one[name], values, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"adapted": False}, marks=pytest.mark.slow),
        pytest.param({"target": without_labels}, marks=pytest.mark.slow),
    ],
    ids=["adapted", "plain", "no labels"],
)
def test_scores_on_features_are_those_on_pictures(train, options):
    assert_alike(train(**options), train(cache=None, **options))


def test_the_frozen_part_runs_once_on_what_is_scored(train):
    options = {"strategy": kx.FeatureExtraction(), "epochs": 6}
    train(**options)
    # 48 to train on, 8 and 4 held out, and a few to look whether it is exact.
    assert 48 + 8 + 4 <= sum(SEEN) <= 48 + 8 + 4 + 6
    train(cache=None, **options)
    assert sum(SEEN) == 6 * (64 + 8 + 4)


def test_what_has_no_features_is_scored_all_the_same(train, capsys):
    def through_python(dataset):
        return dataset.map(
            lambda x, y: (tf.ensure_shape(tf.numpy_function(np.copy, [x], x.dtype), x.shape), y)
        )

    logs = train(target=through_python, verbose=2)
    assert "runs all of the model on the target: Expected a pipeline" in capsys.readouterr().out
    assert_alike(logs, train())
