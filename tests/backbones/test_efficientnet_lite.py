import numpy as np
import pytest
import skimage.data
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.backbones.efficientnet_lite import WEIGHTS


@pytest.mark.parametrize(
    ("picture", "label"), [("chelsea", 285), ("coffee", 967), ("camera", 872), ("rocket", 657)]
)
def test_bundled_weights_classify_real_photographs(picture, label):
    # Labels published for these pictures with the original implementation of the weights.
    image = getattr(skimage.data, picture)()
    image = np.stack([image] * 3, -1) if image.ndim == 2 else image[..., :3]
    side = min(image.shape[:2])
    top, left = ((n - side) // 2 for n in image.shape[:2])
    square = tf.image.resize(image[top : top + side, left : left + side], (224, 224))
    features = kx.load_backbone("efficientnet_lite0")(square[None]).numpy().mean((1, 2))
    with np.load(WEIGHTS) as arrays:
        logits = features @ arrays["predictions/kernel"] + arrays["predictions/bias"]
    assert logits.argmax() == label


def test_uint8_and_float_pixels_give_the_same_features():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(64, 64, 3))
    as_float = backbone.predict(pixels.astype("float32"), verbose=0)
    np.testing.assert_array_equal(backbone.predict(pixels, verbose=0), as_float)


def test_pictures_of_any_size_with_open_input_shape():
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(None, None, 3))
    assert backbone(np.zeros([1, 64, 96, 3], "float32")).shape == (1, 2, 3, 1280)


def test_listed_figures_are_those_of_the_model():
    info = kx.list_backbones()[0]
    backbone = kx.load_backbone("efficientnet_lite0")
    assert backbone.count_params() == info.parameters
    assert backbone.input_shape[1:3] == (info.input_size, info.input_size)
    assert backbone.output_shape[-1] == info.feature_width


def test_weights_none_gives_random_weights():
    pretrained, random = (
        kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=weights)
        for weights in ("pretrained", None)
    )
    kernels = [model.get_layer("top_conv").kernel.numpy() for model in (pretrained, random)]
    assert not np.allclose(*kernels, atol=1e-2)


@pytest.mark.parametrize("suffix", [".weights.h5", ".npz"])
def test_weights_of_a_path_are_loaded(tmp_path, suffix):
    shape = (32, 32, 3)
    model = kx.load_backbone("efficientnet_lite0", input_shape=shape, weights=None)
    path = tmp_path / f"mine{suffix}"
    if suffix == ".npz":
        np.savez(path, **{f"{x.name}/{v.name}": v.numpy() for x in model.layers for v in x.weights})
    else:
        model.save_weights(path)
    loaded = kx.load_backbone("efficientnet_lite0", input_shape=shape, weights=path)
    for expected, value in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_weights_that_do_not_fit_are_named(tmp_path):
    np.savez(tmp_path / "other.npz", **{"stem_conv/kernel": np.zeros([1, 1, 3, 32])})
    with pytest.raises(ValueError, match=r"stem_conv/kernel.*\(3, 3, 3, 32\).*\(1, 1, 3, 32\)"):
        kx.load_backbone("efficientnet_lite0", weights=tmp_path / "other.npz")


def test_weights_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match="Expected an .npz file"):
        kx.load_backbone("efficientnet_lite0", weights=tmp_path / "text.npz")


def test_half_precision_policy_keeps_preprocessing_in_float32():
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    assert backbone.get_layer("rescaling").compute_dtype == "float32"
    assert backbone.get_layer("stem_conv").compute_dtype == "bfloat16"
