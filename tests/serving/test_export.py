import itertools
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.resizing import resize_picture
from keras_transfer.serving.c_api.engine import run
from keras_transfer.serving.local import LocalModel
from keras_transfer.serving.signatures.strings import as_strings
from keras_transfer.serving.verification.saved_graph import served_graph, signatures_of
from keras_transfer.serving.versions.manifest import read_manifest
from keras_transfer.serving.versions.warmup import load_samples

# The others are slow: every version is verified in a process of its own.
QUICK = [("JPEG", "crop")]
NAMES = [f"class {number}" for number in range(7)]


@pytest.fixture
def model(tiny_backbone, learnt):
    model = learnt(kx.Classifier(tiny_backbone, ["cat", "dog", "emu"]))
    model.resize = "stretch"
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory, learnt):
    """A model of seven classes and its version, for tests that leave both as they are."""
    pixels = keras.Input([32, 32, 3])
    backbone = keras.Model(pixels, keras.layers.Conv2D(4, 3, activation="relu")(pixels))
    model = learnt(kx.Classifier(backbone, NAMES, hidden=[5]))
    folder = tmp_path_factory.mktemp("models") / "seven"
    return model, kx.export(model, folder, resize="stretch", evaluation={"accuracy": 0.5})


def visible(folder):
    """What TF Serving looks at: hidden names are no integers."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


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


def test_signatures_have_names_types_and_the_batch_first(exported):
    found = signatures(exported[1])
    assert set(found) == {"serving_default", "pixels", "top_k", "features"}
    inputs = {k: v.structured_input_signature[1] for k, v in found.items()}
    assert inputs["serving_default"]["image_bytes"].shape.as_list() == [None]
    assert inputs["serving_default"]["image_bytes"].dtype == tf.string
    assert inputs["pixels"]["pixels"].shape.as_list() == [None, 32, 32, 3]
    predictions = {
        "probabilities": ([None, 7], tf.float32),
        "label": ([None], tf.string),
        "score": ([None], tf.float32),
    }
    expected = {
        "serving_default": predictions,
        "pixels": predictions,
        "top_k": {"labels": ([None, 5], tf.string), "scores": ([None, 5], tf.float32)},
        "features": {"features": ([None, 5], tf.float32)},
    }
    for name, signature in found.items():
        outputs = signature.structured_outputs
        told = {k: (v.shape.as_list(), v.dtype) for k, v in outputs.items()}
        assert told == {**expected[name], "valid": ([None], tf.bool)}


def test_label_and_score_are_those_of_the_largest_probability(exported):
    model, version = exported
    pixels = np.random.default_rng(0).uniform(0, 255, (9, 32, 32, 3)).astype("float32")
    result = signatures(version)["pixels"](pixels=tf.constant(pixels))
    best = result["probabilities"].numpy().argmax(-1)
    np.testing.assert_array_equal(result["label"], np.array(NAMES, "S")[best])
    np.testing.assert_array_equal(result["score"], result["probabilities"].numpy().max(-1))
    expected = keras.ops.softmax(model(pixels))
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-5)


def test_versions_count_up_and_old_ones_go_when_asked_for(model, tmp_path):
    for name in ("6", "7", "notes"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="keep=0"):
        kx.export(model, tmp_path, keep=0)
    assert kx.export(model, tmp_path, keep=2) == tmp_path / "8"
    assert visible(tmp_path) == ["7", "8", "notes"]
    assert list((tmp_path / "7").iterdir()) == []


def test_version_that_fails_its_check_never_appears(model, tmp_path, monkeypatch):
    def broken(path):
        raise kx.VerificationError(path, ["it is broken"])

    monkeypatch.setattr("keras_transfer.serving.export.verify_unpublished", broken)
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


@pytest.mark.slow
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
    files = sorted((picture_folder / "dark").iterdir())
    version = kx.export(model, tmp_path / "models", samples=files)
    *batches, first = [x for x in load_samples(version) if x.signature == "serving_default"]
    assert [len(x.outputs["probabilities"]) for x in batches] == [8, 8, 2]
    assert len(first.inputs["image_bytes"]) == 1
    pictures = np.concatenate([x.inputs["image_bytes"] for x in batches])
    assert list(pictures[-10:]) == [file.read_bytes() for file in files]
    valid = np.concatenate([x.outputs["valid"] for x in batches])
    assert valid.tolist() == 4 * [True] + 4 * [False] + 10 * [True]


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


def test_what_cannot_be_read_stops_no_other_picture(exported, encode):
    noise = np.random.default_rng(0).integers(0, 256, (50, 23, 3), dtype=np.uint8)
    good = [encode(noise, file_format) for file_format in ("PNG", "JPEG", "GIF", "BMP")]
    cut = [data[: len(data) * 2 // 3] for data in good]
    huge = good[0][:16] + (70_000).to_bytes(4, "big") * 2 + good[0][24:]
    bad = [b"", b"no picture", *cut, huge]
    serve = signatures(exported[1])["serving_default"]
    alone = serve(image_bytes=tf.constant(good))
    mixed = serve(image_bytes=tf.constant(bad[:3] + good[:2] + bad[3:] + good[2:]))
    places = [3, 4, 9, 10]
    assert mixed["valid"].numpy().tolist() == [place in places for place in range(11)]
    for name in ("probabilities", "label", "score"):
        np.testing.assert_array_equal(tf.gather(mixed[name], places), alone[name])
    wrong = ~mixed["valid"]
    assert not tf.boolean_mask(mixed["probabilities"], wrong).numpy().any()
    assert not tf.boolean_mask(mixed["score"], wrong).numpy().any()
    assert set(tf.boolean_mask(mixed["label"], wrong).numpy()) == {b""}


def test_pixels_that_are_no_numbers_are_not_valid(exported):
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    serve = signatures(exported[1])["pixels"]
    expected = serve(pixels=tf.constant(pixels))["probabilities"].numpy()
    pixels[1, 3, 4, 0], pixels[2, 0, 0, 2] = np.nan, -np.inf
    result = serve(pixels=tf.constant(pixels))
    assert result["valid"].numpy().tolist() == [True, False, False, True]
    expected[1:3] = 0
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-6)


def test_the_five_best_classes_come_in_order(exported):
    found = signatures(exported[1])
    picture = tf.io.encode_png(tf.zeros([9, 9, 3], tf.uint8))[None]
    expected = found["serving_default"](image_bytes=picture)["probabilities"].numpy()[0]
    result = found["top_k"](image_bytes=picture)
    order = np.argsort(-expected)[:5]
    assert result["labels"].numpy()[0].tolist() == [NAMES[place].encode() for place in order]
    np.testing.assert_allclose(result["scores"][0], expected[order], atol=1e-6)


def test_features_are_what_the_last_layer_takes(exported):
    model, version = exported
    found = signatures(version)
    picture = tf.io.encode_png(tf.fill([32, 32, 3], tf.constant(90, tf.uint8)))[None]
    features = found["features"](image_bytes=picture)["features"].numpy()
    assert features.shape == (1, 5)
    logits = features @ model.layers[-1].kernel.numpy() + model.layers[-1].bias.numpy()
    np.testing.assert_allclose(logits, model(tf.fill([1, 32, 32, 3], 90.0)), atol=1e-5)


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_mixed_precision_becomes_float32(tiny_data, tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    pixels = keras.Input([32, 32, 3])
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(x))
    model = kx.Classifier(keras.Model(pixels, x), ["dark", "bright"])
    kx.fine_tune(model, tiny_data.train, epochs=1, verbose=0)
    version = kx.export(model, tmp_path)
    assert keras.config.dtype_policy().name == policy
    graph = tf.saved_model.load(str(version)).signatures["pixels"]
    types = {tensor.dtype for op in graph.graph.get_operations() for tensor in op.outputs}
    assert not types & {tf.float16, tf.bfloat16}
    batch = np.concatenate([batch for batch, _ in tiny_data.test])
    expected = keras.ops.softmax(keras.ops.cast(model(batch), "float32"))
    result = graph(pixels=tf.constant(batch, tf.float32))["probabilities"]
    np.testing.assert_allclose(result, expected, atol=0.02)


REPLICAS = """
import sys, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
keras.config.set_dtype_policy("mixed_float16")
x = np.random.default_rng(0).integers(0, 255, (16, 8, 8, 3)).astype("uint8")
data = kx.arrays(x, [0, 1] * 8, batch_size=8, validation_split=0.0, seed=0)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    pixels = keras.Input((8, 8, 3))
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(pixels))
    model = kx.Classifier(keras.Model(pixels, y), 2)
    try:
        kx.export(model, sys.argv[1])
    except ValueError as error:
        print(error)
kx.fine_tune(model, data.train, epochs=2, verbose=0)
version = kx.export(model, sys.argv[1])
pixels = x.astype("float32")
served = tf.saved_model.load(str(version)).signatures["pixels"](pixels=tf.constant(pixels))
expected = tf.nn.softmax(tf.cast(model(pixels), tf.float32))
print(float(abs(served["probabilities"] - expected).numpy().max()))
"""


@pytest.mark.slow
def test_replicas_become_one_device(tmp_path):
    command = [sys.executable, "-c", REPLICAS, tmp_path]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "Expected a call outside of `strategy.scope()`" in shown[0]
    assert float(shown[-1]) < 0.01


def test_what_was_measured_and_verified_is_in_the_manifest(exported):
    _, version = exported
    told = read_manifest(version)
    assert told["evaluation"] == {"accuracy": 0.5}
    assert told["class_names"] == NAMES
    assert told["versions"]["keras"] == keras.__version__
    assert len(told["verification"]) == 2
    files = {str(x.relative_to(version)) for x in version.rglob("*") if x.is_file()}
    assert set(told["files"]) == files - {"assets.extra/keras_transfer_manifest.json"}


def test_each_weight_is_written_once(exported):
    model, version = exported
    file = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    shapes = file.get_variable_to_shape_map().values()
    numbers = sum(int(np.prod(shape)) for shape in shapes if shape)
    assert numbers == model.count_params()


@pytest.mark.slow
def test_every_test_picture_gets_the_label_that_keras_gave(tmp_path):
    data = kx.emoji_styles("noto", image_size=(128, 128), validation_split=0.0)
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(128, 128, 3))
    model = kx.Classifier(backbone, data.class_names)
    kx.fine_tune(model, data.train, epochs=5, verbose=0)
    assert kx.evaluate(model, data.test, verbose=False).accuracy > 0.65
    version = kx.export(model, tmp_path)
    files = sorted((kx.emoji_styles_folder("noto") / "test").rglob("*.png"))
    pixels = np.stack(
        [resize_picture(decode_picture(x.read_bytes()), (128, 128), data.resize) for x in files]
    )
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(model.predict(pixels, verbose=0)))
    found = signatures_of(served_graph(version))
    given = {
        "serving_default": as_strings([file.read_bytes() for file in files]),
        "pixels": pixels,
    }
    for name, tolerance in (("serving_default", 2e-3), ("pixels", 1e-5)):
        [tensor] = found[name].inputs.values()
        outputs = {key: found[name].outputs[key].name for key in ("probabilities", "label")}
        requests = [
            ({tensor.name: given[name][start : start + 100]}, list(outputs.values()))
            for start in range(0, len(files), 100)
        ]
        answers = run(version, requests)
        served = np.concatenate([answer[outputs["probabilities"]] for answer in answers])
        labels = [x.decode() for answer in answers for x in answer[outputs["label"]]]
        assert len(labels) == 837
        assert np.abs(served - expected).max() <= tolerance
        assert labels == [data.class_names[place] for place in expected.argmax(-1)]
