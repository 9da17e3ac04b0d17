"""What several tests need: tiny models, and folders of pictures."""

from __future__ import annotations

import io
import itertools
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

import keras_transfer as kx

SIZE = (32, 32)
_TESTS = itertools.count()


@pytest.fixture(autouse=True, scope="session")
def _own_folder(tmp_path_factory: pytest.TempPathFactory):
    """What tests unpack and cache goes where nobody else's does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


@pytest.fixture(autouse=True)
def _reset_keras(tmp_path_factory: pytest.TempPathFactory):
    """Names, seeds and the dtype policy of one test do not reach the next."""
    # Collecting garbage takes half a second, and much longer if it is never done.
    keras.backend.clear_session(free_memory=next(_TESTS) % 25 == 0)
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def learnt():
    """Gives a new model an output layer that tells pictures apart: it begins at zero."""

    def give(model: keras.Model) -> keras.Model:
        kernel = model.layers[-1].kernel
        kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
        return model

    return give


@pytest.fixture
def tiny_backbone() -> keras.Model:
    """Three blocks with BatchNorm, one of them residual; pixels 0-255 to (16, 16, 6)."""
    pixels = keras.Input((*SIZE, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(pixels)
    for name, filters, strides in (("first", 4, 2), ("second", 6, 1)):
        x = keras.layers.Conv2D(filters, 3, strides, "same", name=name)(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
        x = keras.layers.ReLU()(x)
    y = keras.layers.Conv2D(6, 3, padding="same", name="third")(x)
    y = keras.layers.BatchNormalization(name="third_bn")(y)
    return keras.Model(pixels, keras.layers.Add(name="third_add")([x, y]), name="tiny")


@pytest.fixture
def tiny_data() -> kx.Splits:
    """Dark and bright pictures: two classes that a tiny network can tell apart."""
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    pictures = random.integers(0, 128, (40, *SIZE, 3)) + 127 * labels[:, None, None, None]
    return kx.arrays(
        pictures.astype("uint8"),
        labels,
        class_names=["dark", "bright"],
        batch_size=8,
        test_split=0.2,
    )


def _encode(pixels: np.ndarray, file_format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, **options)
    return file.getvalue()


@pytest.fixture
def encode():
    """Encodes through Pillow, independently of TensorFlow."""
    return _encode


def _draw_pictures(folder: pathlib.Path) -> pathlib.Path:
    random = np.random.default_rng(0)
    for label, name in enumerate(("dark", "bright")):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            suffix, file_format = (("png", "PNG"), ("jpg", "JPEG"), ("bmp", "BMP"), ("gif", "GIF"))[
                number % 4
            ]
            pixels = random.integers(0, 100, (20 + number, 30, 3)) + 150 * label
            path = folder / name / f"{number}.{suffix}"
            path.write_bytes(_encode(pixels.astype("uint8"), file_format))
    return folder


@pytest.fixture
def picture_folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two classes of ten pictures each, in four formats and several sizes."""
    return _draw_pictures(tmp_path / "pictures")


@pytest.fixture(scope="module")
def shared_picture_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The same for all tests of a module, which leave it as it is."""
    return _draw_pictures(tmp_path_factory.mktemp("shared") / "pictures")


@pytest.fixture(scope="session")
def small_version(tmp_path_factory: pytest.TempPathFactory, learnt) -> pathlib.Path:
    """An exported version of a tiny model, `models/pets/1`; tests leave it as it is."""
    pixels = keras.Input([8, 8, 3])
    backbone = keras.Model(pixels, keras.layers.Conv2D(4, 3)(pixels))
    model = learnt(kx.Classifier(backbone, ["cat", "dog"]))
    return kx.export(model, tmp_path_factory.mktemp("models") / "pets", resize="crop")
