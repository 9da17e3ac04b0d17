import keras
import numpy as np
import pytest

import keras_transfer as kx

STRATEGIES = [
    (kx.FeatureExtraction(), []),
    (kx.FineTuning(), ["first", "second_bn", "third_add"]),
    (kx.FineTuning(0), []),
    (kx.FineTuning(1), ["third_add"]),
    (kx.FineTuning(2, batch_norm="trainable"), ["second_bn", "third_add"]),
    (kx.FineTuning(batch_norm="trainable"), ["first", "second_bn", "third_add"]),
]


def block_names(model):
    return [block.name for block in kx.split_into_blocks(model)]


def fit(model, data):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    model.fit(data.train, epochs=1, verbose=0, shuffle=False)


@pytest.mark.parametrize(("strategy", "_"), STRATEGIES)
def test_frozen_weights_stay_bit_for_bit_and_the_others_move(strategy, _, tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    strategy.apply(model)
    chosen = strategy.trainable_blocks(kx.split_into_blocks(tiny_backbone))
    before = {w.path: w.numpy() for w in model.weights}
    fit(model, tiny_data)
    trained = {id(layer) for block in chosen for layer in block.layers}
    for layer in tiny_backbone.layers:
        batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        moves = id(layer) in trained and not (batch_norm and strategy.batch_norm == "frozen")
        for weight in layer.weights:
            assert np.array_equal(before[weight.path], weight.numpy()) != moves, weight.path
    kernel = model.get_layer("logits").kernel
    assert not np.array_equal(before[kernel.path], kernel.numpy())


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


def test_strategies_follow_each_other_in_any_order(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    counts = {}
    for strategy, _ in STRATEGIES + STRATEGIES[::-1]:
        strategy.apply(model)
        key = (type(strategy).__name__, str(strategy.get_config()))
        assert counts.setdefault(key, len(model.trainable_weights)) == len(model.trainable_weights)


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
    [("thrid_add", r"\['third_add'\].*Received: 'thrid_add'"), (4, "at most 3.*blocks=4")],
)
def test_blocks_that_are_not_there_are_named_when_applied(tiny_backbone, blocks, message):
    with pytest.raises(ValueError, match=message):
        kx.FineTuning(blocks).apply(kx.Classifier(tiny_backbone, 2))


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="blocks=-1"):
        kx.FineTuning(-1)
    with pytest.raises(ValueError, match="Received: 'warm'"):
        kx.FineTuning(batch_norm="warm")


@pytest.mark.parametrize(("strategy", "_"), STRATEGIES)
def test_config_makes_the_same_strategy(strategy, _):
    config = strategy.get_config()
    assert type(strategy)(**config).get_config() == config


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
