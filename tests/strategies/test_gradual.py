import pytest

import keras_transfer as kx


def test_more_stages_than_blocks_are_refused(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    with pytest.raises(ValueError, match="at most 3 stages.*Received: stages=4"):
        kx.GradualUnfreezing(4).apply(model)
    with pytest.raises(ValueError, match="Received: stages=4"):
        kx.fine_tune(model, tiny_data.train, strategy=kx.GradualUnfreezing(4), epochs=4)


def test_groups_of_unknown_blocks_are_refused_at_once(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    with pytest.raises(ValueError, match="Received: 'fourth'"):
        kx.GradualUnfreezing([["third_add"], ["fourth"]]).apply(model, 0)


@pytest.mark.parametrize("stages", [0, -1, [], "third_add", True, ["first", "second"]])
def test_stages_out_of_range_are_refused(stages):
    with pytest.raises(ValueError, match="`stages`"):
        kx.GradualUnfreezing(stages)


def test_unknown_orders_are_refused():
    with pytest.raises(ValueError, match="Received: 'sideways'"):
        kx.GradualUnfreezing(order="sideways")
    with pytest.raises(ValueError, match="Received: 'warm'"):
        kx.GradualUnfreezing(batch_norm="warm")


def test_groups_are_even():
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    blocks = kx.split_into_blocks(backbone)
    strategy = kx.GradualUnfreezing(5)
    counts = [len(strategy.trainable_blocks(blocks, stage)) for stage in range(5)]
    assert counts == [4, 7, 11, 14, 18]
    assert strategy.trainable_blocks(blocks, 0) == blocks[-4:]
