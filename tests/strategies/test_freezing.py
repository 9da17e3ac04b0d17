import keras
import numpy as np
import pytest

import keras_transfer as kx


def block_names(model):
    return [block.name for block in kx.split_into_blocks(model)]


def fit(model, data):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    model.fit(data.train, epochs=1, verbose=0, shuffle=False)


def test_batch_norm_statistics_stay_although_keras_overrides_training_false(
    tiny_backbone, tiny_data
):
    # `backbone(x, training=False)` does not keep them once the backbone is trainable.
    pixels = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(tiny_backbone(pixels, training=False))
    model = keras.Model(pixels, keras.layers.Dense(2)(pooled))
    kx.FineTuning().apply(model)
    before = [layer.moving_mean.numpy() for layer in tiny_backbone.layers if "bn" in layer.name]
    fit(model, tiny_data)
    after = [layer.moving_mean.numpy() for layer in tiny_backbone.layers if "bn" in layer.name]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_but_trainable_flags_is_touched(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    weights = [w.numpy() for w in model.weights]
    kx.FineTuning(1).apply(model)
    for before, after in zip(weights, model.weights, strict=True):
        np.testing.assert_array_equal(before, after.numpy())
    assert not model.compiled


def test_flat_models_of_others_can_be_frozen(tiny_backbone):
    x = keras.layers.GlobalAveragePooling2D()(tiny_backbone.output)
    model = keras.Model(tiny_backbone.input, keras.layers.Dense(2, name="outputs")(x))
    kx.FeatureExtraction().apply(model)
    assert [w.path for w in model.trainable_weights] == ["outputs/kernel", "outputs/bias"]


def test_layers_inside_layers_are_frozen_too():
    backbone = kx.load_backbone(
        "applications://ConvNeXtTiny", input_shape=(32, 32, 3), weights=None
    )
    kx.FineTuning(1).apply(kx.Classifier(backbone, 2))
    assert not backbone.get_layer("convnext_tiny_stem").trainable_weights


def test_blocks_by_name_are_trained(tiny_backbone):
    name = block_names(tiny_backbone)[1]
    model = kx.Classifier(tiny_backbone, 2)
    for names in (name, [name]):
        kx.FineTuning(names).apply(model)
        assert {w.path.split("/")[0] for w in tiny_backbone.trainable_weights} == {"second"}


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"blocks": "thrid_add"}, r"\['third_add'\].*Received: 'thrid_add'"),
        ({"blocks": 4}, "at most 3.*blocks=4"),
        ({"first": 4}, "at most 3.*first=4"),
    ],
)
def test_blocks_that_are_not_there_are_named_when_applied(tiny_backbone, blocks, message):
    with pytest.raises(ValueError, match=message):
        kx.FineTuning(**blocks).apply(kx.Classifier(tiny_backbone, 2))


def test_nothing_left_to_train_is_refused(tiny_backbone):
    with pytest.raises(ValueError, match="kx.Classifier.*Received: FeatureExtraction on .*'tiny'"):
        kx.FeatureExtraction().apply(tiny_backbone)


def test_weights_frozen_one_by_one_are_trained_again(tiny_backbone):
    # Keras 3 ignores `layer.trainable = True` where the layer's flag is True already.
    model = kx.Classifier(tiny_backbone, 2)
    for weight in model.trainable_weights:
        weight.trainable = False
    kx.FineTuning(batch_norm="trainable").apply(model)
    assert len(model.trainable_weights) == 14


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="blocks=-1"):
        kx.FineTuning(-1)
    with pytest.raises(ValueError, match="first=0"):
        kx.FineTuning(first=0)
    with pytest.raises(ValueError, match="not both.*first=1, blocks=2"):
        kx.FineTuning(2, first=1)
    with pytest.raises(ValueError, match="Received: 'warm'"):
        kx.FineTuning(batch_norm="warm")


def test_summary_shows_each_block_and_touches_no_flag(tiny_backbone, capsys):
    model = kx.Classifier(tiny_backbone, 2)
    kx.FineTuning(1).summary(model)
    shown = capsys.readouterr().out
    assert all(layer.trainable for layer in tiny_backbone.layers)
    lines = {line.split()[1]: line for line in shown.splitlines() if line.startswith("│")}
    names = block_names(tiny_backbone)
    assert "frozen" in lines[names[0]]
    assert "128" in lines[names[0]]
    assert "trainable, BatchNorm frozen" in lines[names[2]]
    assert "trainable" in lines["head"]
