import warnings

import keras
import numpy as np
import pytest

import keras_transfer as kx


def test_biases_alone_are_trained(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    kx.BiasTuning().apply(model)
    before = {weight.path: weight.numpy() for weight in model.weights}
    kx.fine_tune(model, tiny_data.train, strategy=kx.BiasTuning(), epochs=1, verbose=0)
    for weight in model.weights:
        moves = "logits" in weight.path or weight.path.endswith("/bias")
        assert np.array_equal(before[weight.path], weight.numpy()) != moves, weight.path


def test_shifts_of_layer_normalization_count_as_biases():
    x = keras.Input((8,))
    y = keras.layers.LayerNormalization(name="norm")(keras.layers.Dense(4, name="one")(x))
    backbone = keras.Model(x, y)
    kx.BiasTuning().apply(keras.Sequential([x, backbone, keras.layers.Dense(2)]))
    assert [w.path for w in backbone.trainable_weights] == ["one/bias", "norm/beta"]


def test_backbone_without_biases_is_refused():
    x = keras.Input((8, 8, 3))
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, use_bias=False)(x))
    model = kx.Classifier(keras.Model(x, y), 2)
    with pytest.raises(ValueError, match="kx.NormalizationTuning"):
        kx.BiasTuning().apply(model)


def test_backbone_without_normalization_is_refused():
    x = keras.Input((8, 8, 3))
    model = kx.Classifier(keras.Model(x, keras.layers.Conv2D(4, 3)(x)), 2)
    with pytest.raises(ValueError, match="normalization"):
        kx.NormalizationTuning().apply(model)


def test_trained_normalization_is_loaded_as_it_was_saved(tiny_backbone, tiny_data, tmp_path):
    model = kx.Classifier(tiny_backbone, 2)
    strategy = kx.NormalizationTuning()
    kx.fine_tune(model, tiny_data.train, strategy=strategy, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = keras.models.load_model(tmp_path / "model.keras")
    paths = [[weight.path for weight in one.trainable_weights] for one in (model, loaded)]
    assert paths[0] == paths[1]


def test_model_with_trained_biases_is_loaded_without_a_warning(tiny_backbone, tiny_data, tmp_path):
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(model, tiny_data.train, strategy=kx.BiasTuning(), epochs=1, verbose=0)
    flags = [weight.trainable for weight in model.weights]
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = keras.models.load_model(tmp_path / "model.keras")
    kx.BiasTuning().apply(loaded)
    assert [weight.trainable for weight in loaded.weights] == flags
