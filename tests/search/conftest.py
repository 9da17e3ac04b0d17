"""A search so small that it takes seconds."""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
import pytest

import keras_transfer as kx


def build(hp):
    """A frozen convolution and a trained head."""
    pixels = keras.Input((8, 8, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 255)(pixels)
    init = keras.initializers.GlorotUniform(seed=1)
    x = keras.layers.Conv2D(4, 3, 2, kernel_initializer=init, trainable=False, name="frozen")(x)
    x = keras.layers.Dropout(hp.Choice("dropout", [0.0, 0.2, 0.4]))(keras.layers.Flatten()(x))
    model = keras.Model(pixels, keras.layers.Dense(2, name="logits")(x))
    model.compile(
        keras.optimizers.Adam(hp.Float("rate", 1e-4, 1e-1, sampling="log")),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


@pytest.fixture(scope="session")
def search_data() -> kx.Splits:
    """Pictures with a weak brightness cue, so that trials differ."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    pictures = random.integers(0, 200, (60, 8, 8, 3)) + 25 * labels[:, None, None, None]
    return kx.arrays(
        pictures.astype("uint8"), labels, class_names=["dark", "bright"], batch_size=8, seed=1
    )


@pytest.fixture
def make_tuner(tmp_path):
    """A tuner over `build`; called again with the same arguments it goes on."""

    def make(hypermodel=build, *, trials=4, oracle=None, **options):
        oracle = oracle or keras_tuner.oracles.RandomSearchOracle(
            keras_tuner.Objective("val_loss", "min"), max_trials=trials, seed=3
        )
        settings = {"directory": tmp_path, "project_name": "search"}
        return kx.TransferTuner(hypermodel, oracle=oracle, **(settings | options))

    return make


@pytest.fixture(scope="session")
def build_model():
    """The hypermodel of `make_tuner`."""
    return build
