"""What holds for every strategy; a new one is a row."""

import json

import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.models.blocks import flatten, is_normalization

# The strategy, and the layers of `tiny_backbone` that each stage trains.
LAST, MIDDLE, FIRST = ["third"], ["second"], ["first"]
NORMS = ["first_bn", "second_bn", "third_bn"]
STRATEGIES = {
    "feature_extraction": (kx.FeatureExtraction(), [[]]),
    "all": (kx.FineTuning(), [FIRST + MIDDLE + LAST]),
    "last_0": (kx.FineTuning(0), [[]]),
    "last_1": (kx.FineTuning(1), [LAST]),
    "first_1": (kx.FineTuning(first=1), [FIRST]),
    "named": (kx.FineTuning(["first", "third_add"]), [FIRST + LAST]),
    "last_2_batch_norm": (
        kx.FineTuning(2, batch_norm="trainable"),
        [MIDDLE + LAST + NORMS[1:]],
    ),
    "all_batch_norm": (
        kx.FineTuning(batch_norm="trainable"),
        [FIRST + MIDDLE + LAST + NORMS],
    ),
    "gradual": (kx.GradualUnfreezing(3), [LAST, MIDDLE + LAST, FIRST + MIDDLE + LAST]),
    "gradual_2": (kx.GradualUnfreezing(2), [MIDDLE + LAST, FIRST + MIDDLE + LAST]),
    "gradual_up": (
        kx.GradualUnfreezing(3, order="bottom_up", batch_norm="trainable"),
        [FIRST + NORMS[:1], FIRST + MIDDLE + NORMS[:2], FIRST + MIDDLE + LAST + NORMS],
    ),
    "gradual_named": (kx.GradualUnfreezing([["third_add"], ["first"]]), [LAST, LAST + FIRST]),
    "probe_then_tune": (
        kx.Sequence([kx.FeatureExtraction(), kx.FineTuning()]),
        [[], FIRST + MIDDLE + LAST],
    ),
    "nested_sequence": (
        kx.Sequence([kx.Sequence([kx.FineTuning(1)]), kx.Part(kx.GradualUnfreezing(2), epochs=2)]),
        [LAST, MIDDLE + LAST, FIRST + MIDDLE + LAST],
    ),
    "normalization": (kx.NormalizationTuning(), [NORMS]),
}
every_strategy = pytest.mark.parametrize(
    ("strategy", "stages"), STRATEGIES.values(), ids=STRATEGIES
)


def values(model):
    return {weight.path: weight.numpy() for weight in model.weights}


@every_strategy
def test_frozen_weights_and_statistics_stay_bit_for_bit_and_the_others_move(
    strategy, stages, tiny_backbone, tiny_data
):
    model = kx.Classifier(tiny_backbone, 2)
    assert strategy.num_stages == len(stages)
    for stage, trained in enumerate(stages):
        strategy.apply(model, stage)
        before = values(model)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss)
        model.fit(tiny_data.train, epochs=1, verbose=0, shuffle=False)
        for path, value in values(model).items():
            moves = path.split("/")[0] in trained or "logits" in path
            assert np.array_equal(before[path], value) != moves, path


@pytest.mark.parametrize(
    "name", ["gradual_up", "gradual_named", "nested_sequence", "normalization"]
)
def test_fine_tune_runs_every_stage_and_leaves_what_is_frozen(name, tiny_backbone, tiny_data):
    strategy, stages = STRATEGIES[name]
    model = kx.Classifier(tiny_backbone, 2)
    before = values(model)
    histories = kx.fine_tune(
        model, tiny_data.train, strategy=strategy, epochs=len(stages), layer_decay=0.9, verbose=0
    )
    assert sum(len(history.epoch) for history in histories) >= len(stages)
    trained = {name for stage in stages for name in stage}
    for path, value in values(model).items():
        moves = path.split("/")[0] in trained or "logits" in path
        assert np.array_equal(before[path], value) != moves, path


def test_strategies_follow_each_other_in_any_order(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    counts = {}
    rows = [(n, s, i) for n, (s, stages) in STRATEGIES.items() for i in range(len(stages))]
    for name, strategy, stage in rows + rows[::-1]:
        strategy.apply(model, stage)
        trained = len(model.trainable_weights)
        assert counts.setdefault((name, stage), trained) == trained


@every_strategy
def test_config_makes_the_same_strategy(strategy, stages):
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(strategy)))
    made = keras.saving.deserialize_keras_object(saved)
    assert type(made) is type(strategy)
    assert made.get_config() == strategy.get_config()
    assert made.num_stages == len(stages)


@every_strategy
def test_stages_that_are_not_there_are_refused(strategy, stages, tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    for stage in (-1, len(stages)):
        with pytest.raises(ValueError, match=f"Received: stage={stage}"):
            strategy.apply(model, stage)


@every_strategy
def test_summary_touches_no_flag(strategy, stages, tiny_backbone, capsys):
    model = kx.Classifier(tiny_backbone, 2)
    tiny_backbone.layers[-1].trainable = False
    model.weights[0].trainable = False
    flags = [(x, x.trainable) for x in [*model.layers, *tiny_backbone.layers, *model.variables]]
    strategy.summary(model)
    assert all(thing.trainable == flag for thing, flag in flags)
    assert ("Stage 2" in capsys.readouterr().out) == (len(stages) > 1)


# The smallest network of each family.
FAMILIES = [
    "efficientnet_lite0",
    "applications://ConvNeXtTiny",
    "applications://DenseNet121",
    "applications://EfficientNetB0",
    "applications://EfficientNetV2B0",
    "applications://InceptionResNetV2",
    "applications://InceptionV3",
    "applications://MobileNet",
    "applications://MobileNetV2",
    "applications://MobileNetV3Small",
    "applications://NASNetMobile",
    "applications://ResNet50",
    "applications://ResNet50V2",
    "applications://VGG16",
    "applications://Xception",
]


@pytest.mark.slow
@pytest.mark.parametrize("handle", FAMILIES)
def test_every_family_keeps_what_is_frozen(handle):
    backbone = kx.load_backbone(handle, input_shape=(80, 80, 3), weights=None)
    model = kx.Classifier(backbone, 2)
    x, y = np.random.default_rng(0).uniform(0, 255, (4, 80, 80, 3)), np.array([0, 1, 0, 1])
    names = [block.name for block in kx.split_into_blocks(backbone)]
    strategies = [
        kx.FeatureExtraction(),
        kx.FineTuning(),
        kx.FineTuning(2),
        kx.FineTuning(first=2),
        kx.GradualUnfreezing([names[-1:], names[:1]]),
        kx.GradualUnfreezing(2, order="bottom_up"),
        kx.Sequence([kx.FeatureExtraction(), kx.FineTuning(names[-1:])]),
    ]
    layers = list(flatten(backbone))
    statistics = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    if any(is_normalization(layer) for layer in layers):
        strategies.append(kx.NormalizationTuning())
    if any(weight.name == "bias" for weight in backbone.weights):
        strategies.append(kx.BiasTuning())
    for strategy in strategies:
        for stage in range(strategy.num_stages):
            strategy.apply(model, stage)
            moving = {id(weight) for weight in model.trainable_weights}
            of_batch_norm = {id(weight) for layer in statistics for weight in layer.weights}
            if isinstance(strategy, kx.NormalizationTuning):
                moving |= of_batch_norm
            else:
                moving -= of_batch_norm
            frozen = [(w, w.numpy()) for w in model.weights if id(w) not in moving]
            assert frozen or not statistics
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(1e-3), loss)
            model.fit(x, y, verbose=0)
            for weight, before in frozen:
                np.testing.assert_array_equal(before, weight.numpy(), err_msg=weight.path)
