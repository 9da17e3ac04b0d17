import shutil
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")


def test_pictures_are_brought_to_the_range_that_modules_take(module, network, pixels):
    backbone = kx.load_backbone(f"tfhub://{module}")
    assert (backbone.input_shape, backbone.output_shape) == ((None, 32, 32, 3), (None, 4))
    expected = network(pixels / np.float32(255), training=False)
    np.testing.assert_allclose(backbone(pixels), expected, atol=1e-5)
    backbone = kx.load_backbone(f"tfhub://{module}", value_range=(-1, 1))
    expected = network(pixels / np.float32(127.5) - 1, training=False)
    np.testing.assert_allclose(backbone(pixels), expected, atol=1e-5)
    backbone = kx.load_backbone(f"TFHub://{module}", value_range=(0, 255))
    np.testing.assert_allclose(backbone(pixels), network(pixels, training=False), atol=1e-3)


@pytest.mark.slow
def test_real_weights_give_the_same_features_from_a_module(save_module, tmp_path):
    original = kx.load_backbone("efficientnet_lite0", input_shape=(64, 64, 3))
    folder = save_module(original, tmp_path / "efficientnet", strength=0)
    backbone = kx.load_backbone(f"tfhub://{folder}", value_range=(0, 255))
    pictures = next(iter(kx.emoji_styles("noto", image_size=(64, 64)).test))[0]
    expected = original.predict(pictures, verbose=0)
    np.testing.assert_allclose(backbone.predict(pictures, verbose=0), expected, atol=1e-5)
    assert backbone.name == "efficientnet"
    assert len(backbone.trainable_variables) == len(original.trainable_variables)


@pytest.mark.parametrize("suffix", ["gztar", "zip", "tar"])
def test_archive_is_unpacked(module, pixels, tmp_path, suffix):
    archive = shutil.make_archive(str(tmp_path / "packed"), suffix, module)
    expected = kx.load_backbone(f"tfhub://{module}")(pixels)
    np.testing.assert_allclose(kx.load_backbone(f"tfhub://{archive}")(pixels), expected)


def test_module_for_any_size_takes_the_size_that_is_asked_for(save_module, tmp_path):
    images = keras.Input((None, None, 3), name="inputs")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(images))
    folder = save_module(keras.Model(images, features), tmp_path / "any")
    assert kx.load_backbone(f"tfhub://{folder}").input_shape == (None, 224, 224, 3)
    backbone = kx.load_backbone(f"tfhub://{folder}", input_shape=(48, 64, 3))
    assert backbone.input_shape == (None, 48, 64, 3)


def test_other_size_than_the_module_s_is_refused(module):
    with pytest.raises(ValueError, match=r"what the module takes, \(32, 32, 3\).*64"):
        kx.load_backbone(f"tfhub://{module}", input_shape=(64, 64, 3))


def test_several_outputs_need_a_key(save_module, tmp_path):
    images = keras.Input((32, 32, 3), name="inputs")
    features = keras.layers.Conv2D(2, 3)(images)
    outputs = {"map": features, "pooled": keras.layers.GlobalAveragePooling2D()(features)}
    folder = save_module(keras.Model(images, outputs), tmp_path / "several")
    with pytest.raises(ValueError, match=r"Expected `output_key`.*outputs=\['map', 'pooled'\]"):
        kx.load_backbone(f"tfhub://{folder}")
    backbone = kx.load_backbone(f"tfhub://{folder}", output_key="pooled")
    assert backbone.output_shape == (None, 2)


def test_module_of_tensorflow_1_is_a_backbone(tf1_module):
    backbone = kx.load_backbone(f"tfhub://{tf1_module}")
    np.testing.assert_allclose(backbone(np.zeros([1, 3])), [[1, 1, 1]])


@pytest.mark.parametrize("value_range", [(1, 0), (5, 5)])
def test_value_range_out_of_order_is_refused(module, value_range):
    with pytest.raises(ValueError, match="Received: value_range="):
        kx.load_backbone(f"tfhub://{module}", value_range=value_range)


def test_random_weights_are_refused(module):
    with pytest.raises(ValueError, match="no random ones"):
        kx.load_backbone(f"tfhub://{module}", weights=None)


def test_weights_file_is_loaded(module, pixels, tmp_path):
    backbone = kx.load_backbone(f"tfhub://{module}")
    backbone.set_weights([weight + 1 for weight in backbone.get_weights()])
    backbone.save_weights(tmp_path / "own.weights.h5")
    again = kx.load_backbone(f"tfhub://{module}", weights=tmp_path / "own.weights.h5")
    np.testing.assert_allclose(again(pixels), backbone(pixels))


def test_arguments_of_modules_are_refused_for_others():
    with pytest.raises(ValueError, match="no such arguments for 'efficientnet_lite0'"):
        kx.load_backbone("efficientnet_lite0", output_key="default")


def test_place_without_a_module_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="where nothing lies"):
        kx.load_backbone(f"tfhub://{tmp_path / 'nowhere'}")
    (tmp_path / "flowers.csv").touch()
    with pytest.raises(FileNotFoundError, match="a file of another kind"):
        kx.load_backbone(f"tfhub://{tmp_path / 'flowers.csv'}")


def test_url_is_resolved_by_tensorflow_hub(module, pixels, monkeypatch):
    asked = []
    fake = types.SimpleNamespace(resolve=lambda url: asked.append(url) or module)
    monkeypatch.setitem(sys.modules, "tensorflow_hub", fake)
    backbone = kx.load_backbone("tfhub://https://tfhub.dev/google/some/feature_vector/2")
    assert asked == ["https://tfhub.dev/google/some/feature_vector/2"]
    assert backbone.name == "feature_vector"
    np.testing.assert_allclose(backbone(pixels), kx.load_backbone(f"tfhub://{module}")(pixels))


def test_url_out_of_reach_says_what_to_do(monkeypatch):
    def refuse(url):
        raise OSError("no route to host")

    monkeypatch.setitem(sys.modules, "tensorflow_hub", types.SimpleNamespace(resolve=refuse))
    with pytest.raises(ConnectionError, match="pass the local folder.*no route to host"):
        kx.load_backbone("tfhub://https://tfhub.dev/google/some/module/2")
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)
    with pytest.raises(ModuleNotFoundError, match=r"keras-transfer\[hub\]"):
        kx.load_backbone("tfhub://https://tfhub.dev/google/some/module/2")


def test_real_tensorflow_hub_takes_what_it_has_downloaded_before(module, tmp_path, monkeypatch):
    hub = pytest.importorskip("tensorflow_hub")
    url = "https://tfhub.dev/google/some/feature_vector/2"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    import hashlib

    place = tmp_path / "cache" / hashlib.sha1(url.encode()).hexdigest()
    shutil.copytree(module, place)
    assert hub.resolve(url) == str(place)
    assert kx.load_backbone(f"tfhub://{url}").output_shape == (None, 4)


def test_frozen_module_is_run_once(module, capsys):
    x = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3)).astype("uint8")
    models = []
    for cache in ("auto", None):
        keras.utils.set_random_seed(0)
        data = kx.arrays(x, [0, 1] * 10, batch_size=5, validation_split=0.2)
        model = kx.Classifier(kx.load_backbone(f"tfhub://{module}"), data.class_names)
        kx.fine_tune(
            model,
            data.train,
            data.validation,
            strategy=kx.FeatureExtraction(),
            epochs=2,
            cache=cache,
        )
        models.append(model)
    assert "The frozen part ran once on 20 examples" in capsys.readouterr().out
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_module_without_a_rank_is_refused(tmp_path):
    module = tf.train.Checkpoint()
    module.__call__ = tf.function(lambda x: x, input_signature=[tf.TensorSpec(None, tf.float32)])
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(ValueError, match="of a known rank"):
        kx.load_backbone(f"tfhub://{tmp_path}")
