import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.models.compared_features import compared_features

PICTURES = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


def test_features_times_the_last_kernel_are_the_logits(tiny_backbone, learnt):
    model = learnt(kx.Classifier(tiny_backbone, 4, hidden=[5], dropout=0.5))
    features, logits = compared_features(model).predict(PICTURES, verbose=0)
    assert features.shape == (3, 5)
    kernel = model.layers[-1].kernel.numpy()
    np.testing.assert_allclose(features @ kernel, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(logits, model.predict(PICTURES, verbose=0))


def test_sequential_models_are_taken():
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(6), keras.layers.Dense(3)])
    assert [x.shape for x in compared_features(model).outputs] == [(None, 6), (None, 3)]
    named = compared_features(model, [model.layers[0].name, model.layers[1].name])
    assert [x.shape for x in named.outputs] == [(None, 6), (None, 3), (None, 3)]


@pytest.mark.parametrize("layers", [None, ["first_bn", "logits"]])
def test_weights_are_the_models_own(layers, tiny_backbone):
    model = kx.Classifier(tiny_backbone, 4)
    found = {id(w) for w in compared_features(model, layers).weights}
    assert found == {id(w) for w in model.weights}


def inner_maps(backbone, name):
    maps = keras.Model(backbone.input, backbone.get_layer(name).output)(PICTURES)
    return maps.numpy().astype("float64")


def test_feature_maps_of_layers_inside_the_backbone_are_averaged(tiny_backbone, learnt):
    model = learnt(kx.Classifier(tiny_backbone, 4))
    first, second, logits = compared_features(model, ["first_bn", "third"])(PICTURES)
    np.testing.assert_allclose(first, inner_maps(tiny_backbone, "first_bn").mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(second, inner_maps(tiny_backbone, "third").mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(logits, model(PICTURES), atol=1e-6)


def test_names_of_blocks_stand_for_their_ends(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 4)
    names = [block.name for block in kx.split_into_blocks(tiny_backbone)]
    *features, _ = compared_features(model, names)(PICTURES)
    assert len(features) == len(names) > 1
    np.testing.assert_allclose(
        features[-1], tiny_backbone(PICTURES).numpy().mean((1, 2)), rtol=1e-4, atol=1e-5
    )


def test_a_nested_model_is_a_layer_too(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 4)
    features, _ = compared_features(model, ["tiny"])(PICTURES)
    np.testing.assert_allclose(
        features, tiny_backbone(PICTURES).numpy().mean((1, 2)), rtol=1e-4, atol=1e-5
    )


def test_sequences_are_averaged_over_what_the_padding_mask_leaves_in():
    ids = keras.Input([None], dtype="int32", name="token_ids")
    mask = keras.Input([None], dtype="bool", name="padding_mask")
    inputs = {"token_ids": ids, "padding_mask": mask}
    embedded = keras.layers.Embedding(9, 4, name="words")(ids)
    embedded = keras.layers.Multiply()([embedded, keras.ops.cast(mask, "float32")[..., None]])
    backbone = keras.Model(inputs, keras.layers.Dense(3, name="last")(embedded), name="text")
    model = kx.Classifier(backbone, 2)
    x = {
        "token_ids": np.random.default_rng(0).integers(0, 9, (3, 5)).astype("int32"),
        "padding_mask": np.arange(5) < np.array([[2], [5], [1]]),
    }
    words, features, _ = compared_features(model, ["words", "last"])(x)
    table = backbone.get_layer("words").get_weights()[0]
    kernel, bias = backbone.get_layer("last").get_weights()
    means = [table[i[m]].mean(0) for i, m in zip(*x.values(), strict=True)]
    np.testing.assert_allclose(words, means, atol=1e-6)
    np.testing.assert_allclose(features, means @ kernel + bias, atol=1e-6)


def test_frozen_layers_stay_frozen(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 4)
    kx.FeatureExtraction().apply(model)
    assert len(compared_features(model, ["second"]).trainable_weights) == 2


def test_models_that_end_otherwise_are_refused():
    class Subclassed(keras.Model):
        pass

    vector = keras.Input([3])
    activated = keras.Model(vector, keras.layers.ReLU()(keras.layers.Dense(2)(vector)))
    several = keras.Model(vector, [keras.layers.Dense(2)(vector), keras.layers.Dense(2)(vector)])
    for model in (Subclassed(), activated, several, keras.Sequential()):
        with pytest.raises(ValueError, match=f"from a dense layer.*Received: .*{model.name}"):
            compared_features(model)


@pytest.mark.parametrize(
    ("layers", "near"),
    [
        (["nowhere"], r"shows\. Received: \['nowhere'\]"),
        (["first", "nowhere"], r"shows\. Received: \['nowhere'\]"),
        (["frist_bn", "logit"], r"for instance \['first_bn'.*'logits'\].*\['frist_bn', 'logit'\]"),
    ],
)
def test_unknown_layers_are_refused_with_blocks_and_layers_there_are(layers, near, tiny_backbone):
    names = [block.name for block in kx.split_into_blocks(tiny_backbone)]
    with pytest.raises(ValueError, match=near) as refused:
        kx.DomainAdaptation(kx.Classifier(tiny_backbone, 4), kx.DeepCoral(), layers=layers)
    assert f"names of blocks of the backbone, {names}, or of layers" in str(refused.value)


@pytest.mark.parametrize("layers", [[], "logits"])
def test_no_list_of_names_is_refused(layers, tiny_backbone):
    with pytest.raises(ValueError, match="list of names. Received"):
        compared_features(kx.Classifier(tiny_backbone, 4), layers)


def test_layers_that_are_called_twice_or_give_several_tensors_are_refused():
    class Two(keras.layers.Layer):
        def call(self, x):
            return x, x + 1

    vector = keras.Input([3])
    shared = keras.layers.Dense(3, name="shared")
    x = shared(shared(vector))
    one, other = Two(name="two")(x)
    model = keras.Model(vector, keras.layers.Dense(2)(one + other))
    for name in ("shared", "two"):
        with pytest.raises(ValueError, match=f"called once.*Received: '{name}', which gives 2"):
            compared_features(model, [name])
