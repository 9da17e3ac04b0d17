import keras
import keras_tuner
import pytest

import keras_transfer as kx

STRATEGIES = ("feature_extraction", "fine_tuning", "gradual_unfreezing", "probe_then_tune")


@pytest.fixture
def make_space(tiny_backbone):
    """A space over the tiny backbone of all tests."""
    config = tiny_backbone.get_config()

    def tiny():
        return keras.Model.from_config(config)

    def make(cls=kx.TransferHyperModel, **options):
        settings = {"backbones": [tiny], "strategies": STRATEGIES, "input_shape": (32, 32, 3)}
        return cls(["dark", "bright"], **(settings | options))

    return make


def hyperparameters(**values):
    hp = keras_tuner.HyperParameters()
    hp.values.update({"depths": 1, **values})
    return hp


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_trial_of_each_strategy_is_built_and_trained(make_space, tiny_data, strategy):
    space = make_space()
    hp = hyperparameters(strategy=strategy, stages=2, label_smoothing=0.1)
    model = space.build(hp)
    assert model.compiled
    histories = space.fit(hp, model, tiny_data.train, epochs=2, verbose=0)
    assert sum(len(history.epoch) for history in histories) == 2
    assert len(histories) == (2 if strategy in ("gradual_unfreezing", "probe_then_tune") else 1)


def test_flags_are_those_of_the_strategy(make_space):
    space = make_space(strategies=("feature_extraction", "fine_tuning"))
    frozen = space.build(hyperparameters(strategy="feature_extraction", hidden=0))
    assert len(frozen.trainable_weights) == 2
    some = space.build(hyperparameters(strategy="fine_tuning", trainable_share=0.25, hidden=0))
    everything = space.build(hyperparameters(strategy="fine_tuning", trainable_share=1.0, hidden=0))
    assert 2 < len(some.trainable_weights) < len(everything.trainable_weights)


def test_what_a_strategy_does_not_know_is_not_active(make_space):
    space = make_space()
    hp = hyperparameters(strategy="feature_extraction")
    space.build(hp)
    active = {p.name for p in hp.space if hp.is_active(p)}
    assert not active & {"trainable_share", "stages", "layer_decay", "l2_sp"}
    assert {"learning_rate", "schedule", "dropout", "hidden", "pooling"} <= active


def test_a_subclass_narrows_and_adds(make_space, tiny_data):
    class Narrow(kx.TransferHyperModel):
        def head(self, hp):
            return {"dropout": hp.Choice("dropout", [0.3]), "standardize": hp.Boolean("standard")}

    space = make_space(Narrow)
    hp = hyperparameters(strategy="feature_extraction", standard=True)
    model = space.build(hp)
    assert hp.get("dropout") == 0.3
    assert any(isinstance(x, keras.layers.BatchNormalization) for x in model.layers)


@pytest.mark.filterwarnings("ignore:The optimal value found for dimension")
@pytest.mark.parametrize("stock", [False, True], ids=["TransferTuner", "KerasTuner"])
def test_it_is_searched_by_both_tuners(make_space, tiny_data, tmp_path, stock):
    oracle = keras_tuner.oracles.RandomSearchOracle("val_accuracy", max_trials=3, seed=2)
    oracle.hyperparameters.Fixed("depths", 1)
    options = {"directory": str(tmp_path), "project_name": "one"}
    tuner = (
        keras_tuner.Tuner(oracle, make_space(), **options)
        if stock
        else kx.TransferTuner(make_space(), oracle=oracle, **options)
    )
    tuner.search(tiny_data.train, validation_data=tiny_data.test, epochs=4, verbose=0)
    statuses = [trial.status for trial in tuner.oracle.trials.values()]
    assert statuses == ["COMPLETED"] * 3


@pytest.mark.parametrize(
    "options", [{"backbones": []}, {"strategies": ["all"]}, {"strategies": []}]
)
def test_spaces_of_nothing_are_refused(make_space, options):
    with pytest.raises(ValueError, match="feature_extraction.*Received"):
        make_space(**options)
