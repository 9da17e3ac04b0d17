import itertools
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.resizing import resize_picture
from keras_transfer.serving.local import LocalModel

# The others are slow: every version is verified in a process of its own.
QUICK = [("PNG", "stretch"), ("JPEG", "crop"), ("BMP", "pad")]


@pytest.fixture
def model(tiny_backbone, learnt):
    model = learnt(kx.Classifier(tiny_backbone, ["cat", "dog", "emu"]))
    model.resize = "stretch"
    return model


def signatures(version):
    return tf.saved_model.load(str(version)).signatures


@pytest.mark.parametrize(
    ("file_format", "resize"),
    [
        pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow)
        for pair in itertools.product(["PNG", "JPEG", "BMP", "GIF"], ["stretch", "crop", "pad"])
    ],
)
def test_bytes_are_decoded_and_resized_as_in_training(
    model, encode, tmp_path, picture_folder, resize, file_format
):
    noise = np.random.default_rng(0).integers(0, 256, (50, 23, 3), dtype=np.uint8)
    (picture_folder / "dark" / "noise").write_bytes(encode(noise, file_format))
    data = kx.image_folder(picture_folder, image_size=(32, 32), resize=resize, validation_split=0.0)
    seen = np.concatenate([pictures for pictures, _ in data.train])
    version = kx.export(model, tmp_path / "models", resize=resize)
    result = signatures(version)["serving_default"](
        image_bytes=tf.constant([encode(noise, file_format)])
    )
    trained_on = resize_picture(decode_picture(encode(noise, file_format)), (32, 32), resize)
    assert np.abs(seen - trained_on.numpy()).max((1, 2, 3)).min() == 0
    expected = keras.ops.softmax(model(trained_on[None]))
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-5)


def test_signatures_have_names_types_and_the_batch_first(model, tmp_path):
    found = signatures(kx.export(model, tmp_path))
    assert set(found) == {"serving_default", "pixels"}
    inputs = {k: v.structured_input_signature[1] for k, v in found.items()}
    assert inputs["serving_default"]["image_bytes"].shape.as_list() == [None]
    assert inputs["serving_default"]["image_bytes"].dtype == tf.string
    assert inputs["pixels"]["pixels"].shape.as_list() == [None, 32, 32, 3]
    for signature in found.values():
        outputs = signature.structured_outputs
        assert {k: (v.shape.as_list(), v.dtype) for k, v in outputs.items()} == {
            "probabilities": ([None, 3], tf.float32),
            "label": ([None], tf.string),
            "score": ([None], tf.float32),
        }


def test_label_and_score_are_those_of_the_largest_probability(model, tmp_path):
    pixels = np.random.default_rng(0).uniform(0, 255, (9, 32, 32, 3)).astype("float32")
    result = signatures(kx.export(model, tmp_path))["pixels"](pixels=tf.constant(pixels))
    best = result["probabilities"].numpy().argmax(-1)
    names = np.array([b"cat", b"dog", b"emu"])
    np.testing.assert_array_equal(result["label"], names[best])
    np.testing.assert_array_equal(result["score"], result["probabilities"].numpy().max(-1))
    expected = keras.ops.softmax(model(pixels))
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-5)


def test_versions_count_up_and_nothing_else_appears(model, tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    assert kx.export(model, tmp_path) == tmp_path / "8"
    assert kx.export(model, tmp_path) == tmp_path / "9"
    assert sorted(os.listdir(tmp_path)) == ["7", "8", "9", "notes"]
    assert list((tmp_path / "7").iterdir()) == []


def test_version_that_fails_its_check_never_appears(model, tmp_path, monkeypatch):
    def broken(path):
        raise kx.VerificationError(path, ["it is broken"])

    monkeypatch.setattr("keras_transfer.serving.export.verify", broken)
    with pytest.raises(kx.VerificationError, match="it is broken"):
        kx.export(model, tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_training_noted_is_what_the_version_does(tiny_backbone, tmp_path, encode):
    x, y = np.zeros([8, 40, 32, 3], "uint8"), [0, 1] * 4
    data = kx.arrays(x, y, image_size=(32, 32), resize="pad", validation_split=0.25)
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(model, data.train, epochs=1, verbose=0)
    picture = encode(np.zeros([80, 10, 3], np.uint8))
    [answer] = LocalModel(kx.export(model, tmp_path)).predict([picture])
    padded = resize_picture(decode_picture(picture), (32, 32), "pad")
    expected = keras.ops.softmax(model(padded[None])).numpy()[0]
    assert answer["score"] == pytest.approx(expected.max(), abs=1e-5)


def test_loaded_model_needs_its_class_names_again(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="class_names="):
        kx.export(loaded, tmp_path / "models", resize="stretch")
    with pytest.warns(UserWarning, match="resize=data.resize"):
        version = kx.export(loaded, tmp_path / "models", class_names=["x", "y", "z"])
    [answer] = LocalModel(version).predict([tf.io.encode_png(np.zeros([2, 2, 3], "uint8")).numpy()])
    assert answer["label"] in "xyz"


def test_several_classes_and_numbers_are_exported(tiny_backbone, learnt, tmp_path):
    pixels = tf.zeros([2, 32, 32, 3])
    several = learnt(kx.Classifier(tiny_backbone, 3, multi_label=True))
    result = signatures(kx.export(several, tmp_path / "several", resize="pad"))["pixels"](
        pixels=pixels
    )
    expected = keras.ops.sigmoid(several(pixels))
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-6)
    regressor = learnt(kx.Regressor(tiny_backbone, 2))
    result = signatures(kx.export(regressor, tmp_path / "numbers", resize="pad"))["pixels"](
        pixels=pixels
    )
    np.testing.assert_allclose(result["values"], regressor(pixels), atol=1e-6)


def test_own_pictures_are_stored_as_samples(model, picture_folder, tmp_path):
    from keras_transfer.serving.samples import load_samples

    files = sorted((picture_folder / "dark").iterdir())
    version = kx.export(model, tmp_path / "models", samples=files)
    inputs, outputs = load_samples(version)["serving_default"]
    assert list(inputs["image_bytes"][-10:]) == [file.read_bytes() for file in files]
    assert len(outputs["probabilities"]) == len(inputs["image_bytes"]) == 14


def test_model_for_any_size_is_refused(tmp_path):
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(None, None, 3), weights=None)
    with pytest.raises(ValueError, match="fixed picture size"):
        kx.export(kx.Classifier(backbone, 2), tmp_path)


def test_base_path_that_is_a_file_is_refused(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        kx.export(model, tmp_path / "file")


def test_local_model_of_no_version_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="exported version"):
        LocalModel(pathlib.Path(tmp_path))
