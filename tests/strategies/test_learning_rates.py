import keras
import pytest

import keras_transfer as kx


def rates(model, **options):
    optimizer = kx.layerwise(keras.optimizers.SGD(), model, **options)
    names = [weight.path.split("/")[0] for weight in model.trainable_variables]
    return dict(zip(names, optimizer.rates, strict=True))


def test_rates_fall_from_the_head_down(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    kx.FineTuning().apply(model)
    expected = {"first": 0.125, "second": 0.25, "third": 0.5, "logits": 1.0}
    found = {
        name.split("_classifier")[0]: rate for name, rate in rates(model, layer_decay=0.5).items()
    }
    assert {name: found[name] for name in ("first", "second", "third")} == {
        name: expected[name] for name in ("first", "second", "third")
    }
    assert list(found.values())[-1] == 1.0


def test_rates_keep_to_depth_where_lower_blocks_are_frozen(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    kx.FineTuning(1).apply(model)
    assert rates(model, layer_decay=0.5)["third"] == 0.5


def test_blocks_can_have_rates_of_their_own(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    kx.FineTuning().apply(model)
    found = rates(model, layer_decay=0.5, block_rates={"third_add": 0.7, "head": 3.0})
    assert (found["first"], found["second"], found["third"]) == (0.125, 0.25, 0.7)
    assert list(found.values())[-1] == 3.0


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5, float("nan")])
def test_decay_out_of_range_is_refused(tiny_backbone, tiny_data, decay):
    model = kx.Classifier(tiny_backbone, 2)
    with pytest.raises(ValueError, match=f"above 0 and at most 1. Received: layer_decay={decay}"):
        kx.layerwise(keras.optimizers.SGD(), model, layer_decay=decay)
    with pytest.raises(ValueError, match=f"Received: layer_decay={decay}"):
        kx.fine_tune(model, tiny_data.train, layer_decay=decay)


def test_rates_of_unknown_blocks_or_of_zero_are_refused(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    with pytest.raises(ValueError, match=r"\['third_add'\].*Received: 'third_ad'"):
        kx.layerwise(keras.optimizers.SGD(), model, block_rates={"third_ad": 0.5})
    with pytest.raises(ValueError, match=r"above 0.*Received: \{'head': 0\}"):
        kx.layerwise(keras.optimizers.SGD(), model, block_rates={"head": 0})


def test_nested_weights_of_a_block_have_its_rate():
    backbone = kx.load_backbone(
        "applications://ConvNeXtTiny", input_shape=(32, 32, 3), weights=None
    )
    model = kx.Classifier(backbone, 2)
    optimizer = kx.layerwise(keras.optimizers.SGD(), model, layer_decay=0.5)
    blocks = len(kx.split_into_blocks(backbone))
    assert optimizer.rates[0] == 0.5**blocks
    assert optimizer.rates[-1] == 1.0
    assert sorted(set(optimizer.rates)) == [0.5**n for n in range(blocks, -1, -1)]


def test_each_of_several_backbones_has_its_own_depth(tiny_backbone):
    other = keras.models.clone_model(tiny_backbone)
    other.name = "other"
    model = kx.Classifier([tiny_backbone, other], 2)
    optimizer = kx.layerwise(keras.optimizers.SGD(), model, layer_decay=0.5)
    backbone = model.get_layer(index=1)
    blocks = {block.name for block in kx.split_into_blocks(backbone)}
    assert len(blocks) == 6
    assert sorted(set(optimizer.rates)) == [0.125, 0.25, 0.5, 1.0]
