import keras
import pytest

import keras_transfer as kx
from keras_transfer.models.blocks import split_off_head

# handle, number of blocks, first and last names: read off the networks' papers and listings
NETWORKS = [
    ("efficientnet_lite0", 18, "stem", "top"),
    ("applications://VGG16", 5, "block1", "block5"),
    ("applications://ResNet50", 17, "conv1_conv", "conv5_block3"),
    ("applications://MobileNet", 14, "conv1", "conv_13"),
    ("applications://MobileNetV2", 19, "Conv1", "Conv_1"),
    ("applications://Xception", 14, "block1", "block14"),
    ("applications://NASNetMobile", 17, "stem", "cell_12"),
    ("applications://ConvNeXtTiny", 22, "convnext_tiny_stem", "convnext_tiny_stage_3_block_2"),
]


@pytest.mark.parametrize(("handle", "count", "first", "last"), NETWORKS)
def test_known_networks_are_split_at_their_blocks(handle, count, first, last):
    backbone = kx.load_backbone(handle, weights=None)
    blocks = kx.split_into_blocks(backbone)
    names = [block.name for block in blocks]
    assert (len(blocks), names[0], names[-1]) == (count, first, last)
    assert len(set(names)) == count
    assert sum(block.num_weights for block in blocks) == backbone.count_params()
    layers = [id(layer) for block in blocks for layer in block.layers]
    assert sorted(layers) == sorted(id(layer) for layer in backbone.layers)


def test_residual_modules_are_not_cut(tiny_backbone):
    blocks = kx.split_into_blocks(tiny_backbone)
    assert [block.layers[-1].name for block in blocks][-1] == "third_add"
    assert [len(block.layers) for block in blocks] == [5, 3, 3]


def test_layers_without_names_start_a_block_where_they_have_weights():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(2, 3),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Conv2D(2, 3),
        ]
    )
    assert [len(block.layers) for block in kx.split_into_blocks(model)] == [4, 1]


def test_model_without_weights_has_no_blocks():
    assert kx.split_into_blocks(keras.Sequential([keras.Input((2,)), keras.layers.ReLU()])) == []


def test_head_of_a_nested_model_is_what_is_outside_the_backbone(tiny_backbone):
    blocks, head = split_off_head(kx.Classifier(tiny_backbone, 2, dropout=0.1))
    assert blocks == kx.split_into_blocks(tiny_backbone)
    assert [layer.name for layer in head] == ["pixels", "average_pooling", "dropout", "logits"]


def test_head_of_a_flat_model_follows_the_last_feature_map(tiny_backbone):
    x = keras.layers.GlobalAveragePooling2D(name="pooling")(tiny_backbone.output)
    model = keras.Model(tiny_backbone.input, keras.layers.Dense(2, name="outputs")(x))
    blocks, head = split_off_head(model)
    assert [layer.name for layer in head] == ["pooling", "outputs"]
    assert [block.num_weights for block in blocks] == [
        block.num_weights for block in kx.split_into_blocks(tiny_backbone)
    ]


def test_head_of_a_subclassed_model_is_its_last_layer_with_weights():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.features = keras.layers.Dense(3)
            self.classes = keras.layers.Dense(2)

        def call(self, x):
            return self.classes(self.features(x))

    model = Mine()
    model(keras.ops.zeros([1, 4]))
    kx.FeatureExtraction().apply(model)
    assert not model.features.trainable
    assert model.classes.trainable
