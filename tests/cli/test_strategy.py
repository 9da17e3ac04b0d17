"""The options of `fit` that say which model and how to train it."""

import inspect

import keras
import pytest

import keras_transfer as kx
from keras_transfer.cli.fit import fit
from keras_transfer.cli.strategy import recipe_from


def recipe(**given):
    settings = {name: p.default for name, p in inspect.signature(fit).parameters.items()}
    return recipe_from({**settings, **given}, num_examples=400, num_classes=8)


def options(**given):
    return recipe(**given).settings


def test_defaults_are_those_of_feature_extraction():
    found = options()
    assert isinstance(found.pop("strategy"), kx.FeatureExtraction)
    assert found == {"epochs": 20, "schedule": "cosine"}


@pytest.mark.parametrize(
    ("given", "strategy", "config"),
    [
        ({"strategy": "fine_tuning", "blocks": "2"}, kx.FineTuning, {"blocks": 2}),
        (
            {"strategy": "fine_tuning", "blocks": "stem, top"},
            kx.FineTuning,
            {"blocks": ["stem", "top"]},
        ),
        ({"strategy": "gradual_unfreezing"}, kx.GradualUnfreezing, {"stages": 3}),
        ({"strategy": "gradual_unfreezing", "stages": 2}, kx.GradualUnfreezing, {"stages": 2}),
        ({"strategy": "normalization"}, kx.NormalizationTuning, {}),
        ({"strategy": "biases"}, kx.BiasTuning, {}),
    ],
)
def test_strategies_are_made_by_name(given, strategy, config):
    made = options(**given)["strategy"]
    assert type(made) is strategy
    assert config.items() <= made.get_config().items()


def test_probing_comes_before_tuning():
    parts = options(strategy="probe_then_tune", batch_norm="trainable")["strategy"].parts()
    assert [type(part.strategy) for part in parts] == [kx.FeatureExtraction, kx.FineTuning]
    assert parts[1].strategy.batch_norm == "trainable"


def test_everything_else_is_passed_on():
    found = options(
        strategy="fine_tuning",
        learning_rate=0.5,
        layer_decay=0.7,
        schedule="one_cycle",
        l2sp=0.1,
        augmentation="strong",
        mixing="both",
        epochs=3,
    )
    assert (found["learning_rate"], found["layer_decay"], found["epochs"]) == (0.5, 0.7, 3)
    assert found["schedule"] == "one_cycle"
    assert found["regularizer"].get_config()["backbone"] == 0.1
    assert found["augmentation"].name == "augmentation_strong"
    assert [type(layer) for layer in found["mixing"]] == [keras.layers.MixUp, keras.layers.CutMix]


def test_recipe_goes_by_the_number_of_pictures_and_gives_way_to_options():
    expected = kx.default_recipe(400, 8, (128, 128))
    found = recipe(strategy="recipe")
    assert found.settings["epochs"] == expected.settings["epochs"]
    assert expected.classifier.items() <= found.classifier.items()
    found = recipe(strategy="recipe", epochs=2, depths="top", dropout=0.7)
    assert found.settings["epochs"] == 2
    assert (found.classifier["depths"], found.classifier["dropout"]) == (["top"], 0.7)


def test_model_is_made_by_its_options():
    assert recipe().classifier == {
        "dropout": 0.2,
        "fusion": "concat",
        "pooling": "avg",
        "hidden": [],
    }
    found = recipe(
        depths="3", fusion="attention", pooling="max", hidden="64, 32", standardize=True
    ).classifier
    assert found["depths"] == 3
    assert (found["fusion"], found["pooling"], found["hidden"]) == ("attention", "max", [64, 32])
    assert found["standardize"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"blocks": "2"}, "--blocks with --strategy fine_tuning alone"),
        ({"stages": 2, "strategy": "fine_tuning"}, "--stages with --strategy gradual_unfreezing"),
        ({"batch_norm": "trainable"}, "--batch-norm with --strategy fine_tuning or"),
        ({"layer_decay": 0.8}, "--layer-decay with --strategy fine_tuning or"),
        ({"l2sp": 0.1}, "--l2sp with --strategy fine_tuning or"),
        ({"fusion": "attention"}, "--fusion with --depths"),
    ],
)
def test_options_that_the_strategy_does_not_know_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        options(**given)
