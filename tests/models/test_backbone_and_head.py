import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.models.backbone_and_head import backbone_of, split_off_head


def test_head_of_a_nested_model_is_what_is_outside_the_backbone(tiny_backbone):
    blocks, head = split_off_head(kx.Classifier(tiny_backbone, 2, dropout=0.1))
    assert blocks == kx.split_into_blocks(tiny_backbone)
    assert [layer.name for layer in head] == ["pixels", "average_pooling", "dropout", "logits"]


def test_nested_head_is_no_backbone_however_large(tiny_backbone):
    head = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(64), keras.layers.Dense(2)], name="head"
    )
    model = keras.Sequential([tiny_backbone, head])
    model(np.zeros([1, 32, 32, 3], "float32"))
    assert head.count_params() > tiny_backbone.count_params()
    assert backbone_of(model) is tiny_backbone
    kx.FeatureExtraction().apply(model)
    assert not tiny_backbone.trainable_variables
    assert len(head.trainable_variables) == 4


def test_what_comes_before_the_backbone_may_be_a_model(tiny_backbone):
    before = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Conv2D(3, 1)], name="colors")
    pooling = keras.layers.GlobalAveragePooling2D()
    model = keras.Sequential([before, tiny_backbone, pooling, keras.layers.Dense(2)])
    assert backbone_of(model) is tiny_backbone


def two_towers():
    pixels = keras.Input((8, 8, 3))
    towers = [
        keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(width, 3)], name=name)
        for name, width in (("left", 4), ("right", 6))
    ]
    features = [keras.layers.Flatten()(tower(pixels)) for tower in towers]
    outputs = keras.layers.Dense(2)(keras.layers.Concatenate()(features))
    return keras.Model(pixels, outputs), towers


def test_backbones_side_by_side_are_refused_unless_one_is_named():
    model, (left, right) = two_towers()
    with pytest.raises(ValueError, match=r"one backbone.*\['left', 'right'\]"):
        kx.FeatureExtraction().apply(model)
    model.backbone = left
    kx.FeatureExtraction().apply(model)
    assert not left.trainable_variables
    assert right.trainable_variables


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
