import importlib
import math

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

import keras_transfer as kx
from keras_transfer.backbones.applications import _APPLICATIONS, _preprocess

# A small member for each of the ways in which families want their pixels; the others are run among
# the slow tests.
QUICK = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "MobileNet",
    "MobileNetV3Small",
    "ResNet50",
    "VGG16",
]
BY_NAME = {application.name: application for application in _APPLICATIONS}
EVERY = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in sorted(BY_NAME)
]
SHAPE = (96, 96, 3)


def keras_module(name):
    """The public module of keras.applications with the family's own `preprocess_input`."""
    private = getattr(keras.applications, name).__module__
    return importlib.import_module(f"keras.applications.{private.rsplit('.', 1)[1]}")


def test_every_row_prepares_pixels_as_its_family_does():
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype("float32")
    for name, application in BY_NAME.items():
        expected = keras_module(name).preprocess_input(pixels.copy())
        found = _preprocess(pixels, application.preprocessing)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", EVERY)
def test_pixels_0_255_equal_keras_with_its_own_preprocessing(name):
    ours = kx.load_backbone(f"applications://{name}", input_shape=SHAPE, weights=None)
    theirs = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=SHAPE)
    theirs.set_weights(ours.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype("float32")
    expected = theirs(keras_module(name).preprocess_input(pixels.copy())).numpy()
    result = ours(pixels).numpy()
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    # and the figures of the listing are those of Keras
    assert ours.count_params() == BY_NAME[name].parameters
    assert ours.output_shape[-1] == BY_NAME[name].feature_width


@pytest.mark.parametrize("name", EVERY)
def test_listed_weights_file_and_size_are_what_keras_asks_for(name, monkeypatch):
    class AskedError(Exception):
        pass

    def get_file(file_name, *args, **kwargs):
        raise AskedError(file_name)

    application = BY_NAME[name]
    monkeypatch.setattr(file_utils, "get_file", get_file)
    size = application.input_size
    with pytest.raises(AskedError, match=f"^{application.weights_file}$"):
        getattr(keras.applications, name)(
            weights="imagenet", include_top=False, input_shape=(size, size, 3)
        )


@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV3Small"])
def test_saved_and_loaded_without_custom_objects(name, tmp_path):
    model = kx.load_backbone(f"applications://{name}", input_shape=(64, 64, 3), weights=None)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(loaded(pixels), model(pixels), atol=1e-5)


def test_weights_without_a_network_name_the_two_ways_out(monkeypatch):
    def get_file(*args, **kwargs):
        raise Exception("URL fetch failure on https://example.org: None -- offline")

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(
        ConnectionError, match="local file.*resnet50_.*efficientnet_lite0"
    ) as raised:
        kx.load_backbone("applications://ResNet50")
    assert "URL fetch failure" in str(raised.value.__cause__)


def test_weights_of_a_path_are_loaded(tmp_path):
    name = "applications://MobileNet"
    model = kx.load_backbone(name, input_shape=(32, 32, 3), weights=None)
    model.save_weights(tmp_path / "mine.weights.h5")
    loaded = kx.load_backbone(name, input_shape=(64, 64, 3), weights=tmp_path / "mine.weights.h5")
    for expected, value in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_efficientnet_weights_of_a_path_equal_weights_imagenet(tmp_path, monkeypatch):
    # The published files hold standard deviations where Keras expects variances; Keras adds a
    # layer that makes up for it, but only for weights="imagenet".
    published = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    normalization = published.layers[2]
    stddev = np.array([0.229, 0.224, 0.225], "float32")
    mean = np.array([0.485, 0.456, 0.406], "float32")
    normalization.set_weights([mean, stddev, *normalization.get_weights()[2:]])
    path = tmp_path / "efficientnetb0_notop.weights.h5"
    published.save_weights(path)
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **kwargs: str(path))

    downloaded = kx.load_backbone("applications://EfficientNetB0", input_shape=(64, 64, 3))
    from_path = kx.load_backbone(
        "applications://EfficientNetB0", input_shape=(64, 64, 3), weights=path
    )
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    expected = downloaded(pixels).numpy()
    np.testing.assert_allclose(from_path(pixels), expected, atol=1e-4 * np.abs(expected).max())
    assert math.isclose(float(from_path.layers[2].variance[0, 0, 0, 0]), 0.229**2, rel_tol=1e-4)
