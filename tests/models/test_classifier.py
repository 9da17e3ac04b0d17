import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_transfer as kx

PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({"pooling": "avg"}, 6),
        ({"pooling": "max"}, 6),
        ({"pooling": "avgmax"}, 12),
        ({"hidden": [5], "dropout": 0.3}, 5),
    ],
)
def test_head_settings_give_the_head(tiny_backbone, options, width):
    model = kx.Classifier(tiny_backbone, ["a", "b", "c"], **options)
    assert model.layers[-1].kernel.shape == (width, 3)
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(("pooling", "reduce"), [("avg", np.mean), ("max", np.max)])
def test_logits_are_a_linear_map_of_pooled_features(tiny_backbone, learnt, pooling, reduce):
    model = kx.Classifier(tiny_backbone, 2, pooling=pooling)
    np.testing.assert_array_equal(model(PIXELS), np.zeros([3, 2]))
    learnt(model)
    kernel, bias = model.layers[-1].get_weights()
    expected = reduce(tiny_backbone(PIXELS).numpy(), axis=(1, 2)) @ kernel + bias
    np.testing.assert_allclose(model(PIXELS), expected, atol=1e-5)


def test_backbone_of_vectors_needs_no_pooling():
    backbone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    assert kx.Classifier(backbone, 2).output_shape == (None, 2)


def test_features_are_standardized_over_the_data(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2, pooling="avgmax", standardize=True, hidden=[3])
    assert model.get_layer("hidden_1").input is model.get_layer("standardization").output
    kx.fine_tune(model, tiny_data.train, epochs=30, learning_rate=1e-12, verbose=0)
    layer = model.get_layer("standardization")
    ends = keras.Model(model.input, [layer.input, layer.output])
    features, standardized = ends.predict(tiny_data.train, verbose=0)
    expected = (features - features.mean(axis=0)) / np.sqrt(features.var(axis=0) + layer.epsilon)
    # Both are of the same order of pictures, and the layer's averages are of batches.
    np.testing.assert_allclose(standardized, expected, atol=0.3)


def test_backbone_is_shared_not_copied(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    assert model.get_layer("tiny") is tiny_backbone


@pytest.mark.parametrize("make", [lambda b: kx.Classifier(b, 2), lambda b: kx.Regressor(b, 3)])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_under_any_policy(make, policy):
    keras.config.set_dtype_policy(policy)
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    assert make(backbone)(PIXELS).dtype == "float32"


@pytest.mark.parametrize(
    "make",
    [lambda b: kx.Classifier(b, 2, hidden=[4]), pytest.param(kx.Regressor, marks=pytest.mark.slow)],
)
def test_saved_model_loads_in_a_program_without_this_package(tiny_backbone, learnt, make, tmp_path):
    model = learnt(make(tiny_backbone))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", PIXELS)
    code = (
        "import sys, keras, numpy as np; model = keras.models.load_model('model.keras'); "
        "np.save('out.npy', model(np.load('pixels.npy')).numpy()); "
        "assert 'keras_transfer' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), model(PIXELS), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((["a"],), {}, "at least 2 different class names"),
        ((["a", "a"],), {}, "different class names"),
        ((1,), {}, "at least 2"),
        ((1,), {"multi_label": True}, "at least 2"),
        ((2,), {"pooling": "median"}, "Received: pooling='median'"),
        ((2,), {"dropout": 1.0}, "Received: 1.0"),
        ((2,), {"hidden": [0]}, r"Received: \[0\]"),
    ],
)
def test_settings_out_of_range_are_refused(tiny_backbone, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        kx.Classifier(tiny_backbone, *arguments, **options)


def test_backbone_without_a_feature_map_is_refused():
    backbone = keras.Sequential([keras.Input((5, 4, 4, 3)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"Received: .*\(None, 5, 4, 4, 3\)"):
        kx.Classifier(backbone, 2)


def test_regressor_needs_an_output(tiny_backbone):
    with pytest.raises(ValueError, match="Received: outputs=0"):
        kx.Regressor(tiny_backbone, 0)
