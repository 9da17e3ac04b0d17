import keras
import pytest

import keras_transfer as kx

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
LARGE = ("NASNetMobile", "Xception", "ConvNeXtTiny")


@pytest.mark.parametrize(
    ("handle", "count", "first", "last"),
    [
        pytest.param(*row, marks=pytest.mark.slow if row[0].endswith(LARGE) else [])
        for row in NETWORKS
    ],
)
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


class WithToken(keras.Model):
    """A weight of its own, as transformers have for their classes and positions."""

    def __init__(self):
        super().__init__(name="with_token")
        self.token = self.add_weight(shape=(4,), name="token")
        self.one, self.two = keras.layers.Dense(4, name="one"), keras.layers.Dense(4, name="two")

    def call(self, x):
        return self.two(self.one(x + self.token))

    def compute_output_shape(self, input_shape):
        return input_shape


def test_weights_of_the_backbone_itself_are_of_its_first_block():
    inputs = keras.Input((4,))
    backbone = WithToken()
    model = keras.Model(inputs, keras.layers.Dense(2)(backbone(inputs)))
    first, second = kx.split_into_blocks(backbone)
    assert (first.own, second.own) == ((backbone.token,), ())
    assert first.num_weights == second.num_weights + 4
    kx.FeatureExtraction().apply(model)
    assert backbone.trainable_variables == []
    kx.FineTuning(1).apply(model)
    assert not backbone.token.trainable
    kx.FineTuning(2).apply(model)
    assert backbone.token.trainable
    kx.BiasTuning().apply(model)
    assert [weight.name for weight in backbone.trainable_variables] == ["bias", "bias"]
    kx.FineTuning().apply(model)
    optimizer = kx.layerwise(keras.optimizers.SGD(), model, layer_decay=0.5)
    rates = dict(zip((w.path for w in model.trainable_variables), optimizer.rates, strict=True))
    assert rates[backbone.token.path] == 0.25
