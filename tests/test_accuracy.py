"""The main job on the real weights and pictures that ship. The full figures: benchmarks/."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.serving.local import LocalModel

SIZE = (128, 128)


@pytest.fixture(scope="module")
def frozen():
    keras.utils.set_random_seed(0)
    data = kx.emoji_styles("noto", image_size=SIZE, validation_split=0.0)
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*SIZE, 3))
    model = kx.Classifier(backbone, data.class_names, dropout=0.2)
    kx.fine_tune(model, data.train, epochs=20, verbose=0)
    return model, data, kx.evaluate(model, data.test, verbose=False)


@pytest.mark.slow
def test_feature_extraction_reaches_its_accuracy(frozen):
    assert frozen[2].accuracy >= 0.73


@pytest.mark.slow
def test_exported_version_labels_every_test_picture_as_evaluated(frozen, tmp_path):
    model, data, report = frozen
    version = kx.export(model, tmp_path)
    files = sorted(kx.emoji_styles_folder("noto").glob("test/*/*.png"))
    answers = LocalModel(version).predict([pathlib.Path(file).read_bytes() for file in files])
    expected = [data.class_names[label] for label in report.probabilities.argmax(-1)]
    assert [answer["label"] for answer in answers] == expected
    scores = np.array([answer["score"] for answer in answers])
    np.testing.assert_allclose(scores, report.probabilities.max(-1), atol=2e-3)


@pytest.mark.slow
def test_fine_tuning_everything_reaches_its_accuracy():
    keras.utils.set_random_seed(0)
    data = kx.emoji_styles("noto", image_size=SIZE, validation_split=0.0)
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*SIZE, 3))
    model = kx.Classifier(backbone, data.class_names, dropout=0.2)
    kx.fine_tune(
        model,
        data.train,
        strategy=kx.FineTuning(),
        epochs=12,
        augmentation=kx.augmentation("light", SIZE, seed=0),
        verbose=0,
    )
    assert kx.evaluate(model, data.test, verbose=False).accuracy >= 0.75
