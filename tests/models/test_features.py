import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.models.features import feature_model, feature_names

PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


def backbone(name="other", size=32, channels=5):
    """Two blocks, without names that tell them."""
    pixels = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(4, 3, 4, name="low")(pixels)
    x = keras.layers.Conv2D(channels, 3, name="high")(x)
    return keras.Model(pixels, x, name=name)


def names_of(model):
    return [block.name for block in kx.split_into_blocks(model)]


def test_output_of_the_backbone_is_the_backbone_itself(tiny_backbone):
    assert feature_model(tiny_backbone, None) is tiny_backbone
    assert feature_model([tiny_backbone], None) is tiny_backbone


def test_features_are_those_at_the_end_of_each_block(tiny_backbone):
    names = names_of(tiny_backbone)
    model = feature_model(tiny_backbone, names[::-1])
    ends = ["re_lu", "re_lu_1", "third_add"]
    for name, features in zip(ends, model(PIXELS), strict=True):
        expected = keras.Model(tiny_backbone.input, tiny_backbone.get_layer(name).output)(PIXELS)
        np.testing.assert_array_equal(features, expected)
    assert (model.name, feature_names(model)) == ("tiny", names)


def test_layers_are_shared_and_those_above_the_last_depth_left_out(tiny_backbone):
    model = feature_model(tiny_backbone, names_of(tiny_backbone)[0])
    assert model.get_layer("first") is tiny_backbone.get_layer("first")
    assert [layer.name for layer in model.layers][-1] == "re_lu"
    assert model.output_shape == (None, 16, 16, 4)


def test_blocks_stay_the_same_however_many_depths_are_outputs(tiny_backbone):
    names = names_of(tiny_backbone)
    assert names_of(feature_model(tiny_backbone, names)) == names
    sequential = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="one")])
    sequential.add(keras.layers.Conv2D(2, 3, name="two"))
    assert feature_names(feature_model(sequential, ["one", "two"])) == ["one", "two"]


def test_block_that_ends_in_a_plain_operation_is_taken_to_its_end():
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(3, 1, name="first")(pixels)
    x = keras.layers.Conv2D(3, 1, name="second")(x) + x
    model = keras.Model(pixels, keras.layers.Conv2D(2, 1, name="third")(x))
    features = feature_model(model, "second")(PIXELS[:, :8, :8])
    np.testing.assert_array_equal(features, keras.Model(pixels, x)(PIXELS[:, :8, :8]))


def test_several_backbones_stand_side_by_side(tiny_backbone):
    other = backbone()
    model = feature_model([tiny_backbone, other], None)
    for features, one in zip(model(PIXELS), (tiny_backbone, other), strict=True):
        np.testing.assert_array_equal(features, one(PIXELS))
    assert (model.name, feature_names(model)) == ("tiny_other", ["tiny", "other"])
    deep = feature_model([tiny_backbone, other], [names_of(tiny_backbone)[:2], "low"])
    first, second, _ = names_of(tiny_backbone)
    assert feature_names(deep) == [f"tiny/{first}", f"tiny/{second}", "other"]


def test_blocks_of_several_backbones_are_ordered_by_their_distance_from_the_top(tiny_backbone):
    first, second, third = names_of(tiny_backbone)
    # the end of each block as a share of its backbone: 1/3, 2/3, 1 and 1/2, 1
    expected = [f"tiny/{first}", "other/low", f"tiny/{second}", f"tiny/{third}", "other/high"]
    assert names_of(feature_model([tiny_backbone, backbone()], None)) == expected


def test_backbones_of_one_name_are_numbered():
    one, other = (
        kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
        for _ in range(2)
    )
    model = feature_model([one, other], ["block1a", "block2b"])
    assert feature_names(model) == ["efficientnet_lite0", "efficientnet_lite0_2"]
    assert other.name == "efficientnet_lite0"
    assert names_of(model)[-1] == "efficientnet_lite0_2/block2b"


def test_models_in_a_row_are_not_side_by_side():
    models = [
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)], name=name) for name in "ab"
    ]
    assert names_of(keras.Sequential([keras.Input((4,)), *models])) == ["a", "b"]

    class Mine(keras.Model):
        pass

    assert names_of(keras.Sequential([Mine(), Mine()])) == []


@pytest.mark.parametrize(
    ("number", "names"),
    [
        (1, ["top"]),
        (2, ["block5a", "top"]),
        (5, ["block5a", "block5c", "block6b", "block6d", "top"]),
    ],
)
def test_number_of_depths_goes_from_the_middle_to_the_end(number, names):
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    named = feature_model(backbone, names)
    assert feature_model(backbone, number).output_names == named.output_names


def test_number_of_depths_holds_for_all_backbones_or_for_each(tiny_backbone):
    backbones = [tiny_backbone, backbone()]
    assert feature_names(feature_model(backbones, 1)) == ["tiny", "other"]
    names = feature_names(feature_model(backbones, 5))  # "other" has but one in its upper half
    assert names == [*(f"tiny/{name}" for name in names_of(tiny_backbone)[1:]), "other"]


@pytest.mark.parametrize(
    ("depths", "message"),
    [
        ("hihg", r"for instance \['high'\].*Received: 'hihg'"),
        (["low", "top"], r"for instance \['low', 'high'\].*Received: 'top'"),
        ([], r"at least one name.*Received: \[\]"),
        (0, "at least 1. Received: depths=0"),
    ],
)
def test_depths_that_are_not_there_are_named(depths, message):
    with pytest.raises(ValueError, match=message):
        feature_model(backbone(), depths)


def test_backbones_that_do_not_fit_together_are_refused(tiny_backbone):
    other = backbone(size=16)
    with pytest.raises(ValueError, match=r"same pixels.*'other': \(16, 16, 3\)"):
        feature_model([tiny_backbone, other], None)
    with pytest.raises(ValueError, match=r"several different ones.*\['tiny', 'tiny'\]"):
        feature_model([tiny_backbone, tiny_backbone], None)
    with pytest.raises(ValueError, match="one entry for each.*'low' for 2 backbones"):
        feature_model([tiny_backbone, backbone()], "low")
    with pytest.raises(ValueError, match=r"Received: \[\]"):
        feature_model([], None)


def test_backbone_of_any_size_takes_that_of_the_others(tiny_backbone):
    assert feature_model([backbone(size=None), tiny_backbone], None).input_shape[1:] == (32, 32, 3)


def test_depths_of_a_model_without_a_graph_are_refused(tiny_backbone):
    class Mine(keras.Model):
        pass

    with pytest.raises(ValueError, match="functional or sequential.*Mine"):
        feature_model(Mine(), "low")
    together = feature_model([tiny_backbone, backbone()], None)
    with pytest.raises(ValueError, match="Expected one functional.*tiny_other"):
        feature_model(together, "other/low")
