import dataclasses
import inspect
from typing import get_args

import keras
import keras_tuner
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.adaptation.methods.names import METHODS, MethodName
from keras_transfer.search.space.method_space import choose_method
from keras_transfer.search.space.strategy_space import within

STRATEGIES = ("feature_extraction", "fine_tuning", "gradual_unfreezing", "probe_then_tune")


def tiny():
    """A backbone of two blocks, in the precision that there is."""
    pixels = keras.Input((8, 8, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(pixels)
    for name in ("first", "second"):
        x = keras.layers.Conv2D(4, 3, 2, "same", name=name)(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    return keras.Model(pixels, x, name="tiny")


@pytest.fixture
def make_space():
    """A space over a tiny backbone."""

    def make(cls=kx.TransferHyperModel, **options):
        settings = {"backbones": [tiny], "strategies": STRATEGIES, "input_shape": (8, 8, 3)}
        return cls(["dark", "bright"], **(settings | options))

    return make


def hyperparameters(**values):
    hp = keras_tuner.HyperParameters()
    hp.values.update({"depths": 1, **values})
    return hp


def small(oracle, **fixed):
    """The oracle, with all fixed but what a test is about."""
    everything = {"depths": 1, "hidden": 0, "dropout": 0.0, "label_smoothing": 0.0}
    everything |= {"schedule": "constant", "learning_rate": 1e-3, "layer_decay": 0.9, "l2_sp": 0.01}
    everything |= {"trainable_share": 0.5, "stages": 2}
    for name, value in (everything | fixed).items():
        oracle.hyperparameters.Fixed(name, value)
    return oracle


def test_labels_are_smoothed_in_stages_that_share_the_epochs(make_space, search_data):
    space = make_space()
    hp = hyperparameters(strategy="gradual_unfreezing", stages=2, label_smoothing=0.1)
    model = space.build(hp)
    assert model.compiled
    histories = space.fit(hp, model, search_data.train, epochs=3, verbose=0)
    assert [len(history.epoch) for history in histories] == [1, 2]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("epochs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_few_epochs_have_no_more_stages(make_space, search_data, strategy, epochs):
    """As in the first rounds of Hyperband."""
    space = make_space()
    hp = hyperparameters(strategy=strategy, stages=4)
    histories = space.fit(hp, space.build(hp), search_data.train, epochs=epochs, verbose=0)
    assert [len(history.epoch) for history in histories] in ([epochs], [1] * epochs)


def test_epochs_that_a_strategy_says_itself_are_not_changed():
    own = kx.Sequence([kx.Part(kx.FeatureExtraction(), epochs=5), kx.FineTuning()])
    assert within(own, 1) is own
    named = kx.GradualUnfreezing([["first"], ["second"]])
    assert within(named, 1) is named


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


def test_the_whole_space_is_known_before_the_first_trial(make_space, tmp_path):
    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=1)
    space = make_space(optimizers=["adamw", "sgd"], methods=["mmd", "coral"])
    kx.TransferTuner(space, oracle=oracle, directory=tmp_path)
    names = {parameter.name for parameter in oracle.get_space().space}
    assert {"stages", "trainable_share", "l2_sp", "learning_rate_sgd", "kernel"} <= names


def test_what_an_oracle_fixes_holds_in_every_trial(make_space, tmp_path):
    oracle = small(keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=4, seed=0))
    kx.TransferTuner(make_space(), oracle=oracle, directory=tmp_path)
    oracle.verbose = 0
    for number in range(4):
        values = oracle.create_trial(f"tuner{number}").hyperparameters.values
        assert values["l2_sp"] == 0.01
        assert (values["trainable_share"], values["stages"]) == (0.5, 2)


def test_a_subclass_narrows_and_adds(make_space):
    class Narrow(kx.TransferHyperModel):
        def head(self, hp):
            hp.Choice("hidden", [16, 32])  # said first, it holds
            hp.Float("dropout", 0.3, 0.35)
            return super().head(hp) | {"standardize": hp.Boolean("standard")}

    hp = hyperparameters(strategy="feature_extraction", standard=True)
    model = make_space(Narrow).build(hp)
    assert (hp.get("hidden"), hp.get("dropout")) == (16, 0.3)
    assert any(isinstance(x, keras.layers.BatchNormalization) for x in model.layers)
    assert {p.name: p.values for p in hp.space if p.name == "hidden"} == {"hidden": [16, 32]}


def test_a_subclass_has_a_strategy_of_its_own(make_space, search_data):
    class Own(kx.TransferHyperModel):
        def strategy(self, hp, blocks):
            return kx.FineTuning(blocks=hp.Int("blocks", 1, blocks))

    space, hp = make_space(Own), hyperparameters(blocks=1)
    model = space.build(hp)
    assert "strategy" not in hp
    [history] = space.fit(hp, model, search_data.train, epochs=1, verbose=0)
    assert history.epoch == [0]


@pytest.mark.parametrize(
    ("name", "kind", "rate"),
    [("adamw", "AdamW", 0.01), ("sgd", "SGD", 0.5), ("lion", "Lion", 1e-4)],
)
def test_the_optimizer_is_the_one_chosen_in_every_stage(make_space, search_data, name, kind, rate):
    space = make_space(optimizers=["adamw", "sgd", "lion"])
    parameter = "learning_rate" if name == "adamw" else f"learning_rate_{name}"
    hp = hyperparameters(
        optimizer=name, strategy="probe_then_tune", layer_decay=0.8, schedule="constant"
    )
    hp.values[parameter] = rate
    model = space.build(hp)
    assert type(model.optimizer).__name__ == kind
    if name != "adamw":  # the default one is tested elsewhere
        space.fit(hp, model, search_data.train, epochs=2, verbose=0)
    assert type(model.optimizer).__name__ == kind
    assert float(model.optimizer.learning_rate) == pytest.approx(rate)


@pytest.mark.slow
def test_every_strategy_is_searched_in_the_precision_asked_for(make_space, search_data, tmp_path):
    oracle = small(keras_tuner.oracles.GridSearchOracle("val_loss", max_trials=4))
    tuner = kx.TransferTuner(
        make_space(),
        oracle=oracle,
        directory=tmp_path,
        compute=kx.compute_strategy(["CPU:0"], precision="mixed_bfloat16"),
        keep_models=4,
    )
    tuner.search(search_data.train, validation_data=search_data.validation, epochs=2, verbose=0)
    best = tuner.finished_trials()
    assert {x.hyperparameters.get("strategy") for x in best} == set(STRATEGIES)
    for model, trial in zip(tuner.get_best_models(4), best, strict=True):
        loss = model.evaluate(search_data.validation, verbose=0, return_dict=True)["loss"]
        assert loss == pytest.approx(trial.score, rel=0.02)  # features are rounded elsewhere
        layers = [*model.layers, *model.get_layer("tiny").layers]
        policies = {x.dtype_policy.name for x in layers if x.name != "logits"}
        assert policies == {"mixed_bfloat16"}
        assert model.get_layer("logits").dtype_policy.name == "float32"


def test_kerastuners_own_tuner_searches_it(make_space, search_data, tmp_path):
    oracle = small(keras_tuner.oracles.RandomSearchOracle("val_accuracy", max_trials=1, seed=2))
    tuner = keras_tuner.Tuner(oracle, make_space(), directory=str(tmp_path), project_name="one")
    tuner.search(search_data.train, validation_data=search_data.validation, epochs=2, verbose=0)
    [trial] = oracle.trials.values()
    assert trial.status == "COMPLETED"


def test_texts_are_searched(tmp_path):
    def words():
        ids = keras.Input([None], dtype="int32", name="ids")
        return keras.Model(ids, keras.layers.Embedding(9, 4, name="embeddings")(ids), name="words")

    space = kx.TransferHyperModel(2, backbones=[words], poolings=["avg", "attention"])
    hp = hyperparameters(pooling="attention")
    model = space.build(hp)
    assert model.output_shape == (None, 2)
    assert "augmentation" in hp.values
    assert "depths" not in {p.name for p in hp.space}


def test_methods_have_the_names_of_the_command_line():
    assert tuple(METHODS) == get_args(MethodName)


@pytest.mark.parametrize("name", METHODS)
def test_each_method_is_made_with_a_weight_of_its_own_size(name):
    hp = hyperparameters(method=name, weight_factor=2.0, kernel="energy", kernels=1)
    method, weight = choose_method(hp, list(METHODS))
    kind = getattr(kx, METHODS[name])
    assert type(method) is kind
    assert weight == 2 * kind.default_weight
    kernels = inspect.signature(kind).parameters
    assert getattr(method, "kernels", 1) == 1
    assert getattr(method, "kernel", "energy") == "energy" or "kernel" not in kernels
    active = {p.name for p in hp.space if hp.is_active(p)}
    assert ("kernel" in active, "kernels" in active) == (name == "mmd", name.endswith("mmd"))


@pytest.fixture
def domains(search_data):
    """Pairs of dark and bright pictures and of their negatives, held-out ones of both, all."""
    negatives = kx.arrays(
        np.concatenate([255 - x for x, _ in search_data.train.as_numpy_iterator()]).astype("uint8"),
        np.concatenate([1 - y for _, y in search_data.train.as_numpy_iterator()]),
        class_names=["dark", "bright"],
        batch_size=4,
        validation_split=0.25,
    )
    pairs = kx.pair_domains(search_data.train, negatives.train, target_labels="ignore")
    guard = kx.CollapseGuard(min_source_share=0.0, min_entropy_share=0.0)
    return pairs, kx.TargetScore(negatives.validation, guard=guard), negatives


@pytest.mark.slow
def test_methods_are_searched_without_target_labels(make_space, domains, tmp_path):
    pairs, score, negatives = domains
    space = make_space(strategies=["feature_extraction"], methods=["mmd", "cdan"])
    target = keras_tuner.Objective("val_target_score", "max")

    oracle = small(
        keras_tuner.oracles.GridSearchOracle(target, max_trials=2),
        weight_factor=1.0, kernel="energy", kernels=5,
    )  # fmt: skip
    tuner = kx.TransferTuner(space, oracle=oracle, directory=tmp_path)
    tuner.search(pairs, epochs=1, callbacks=[score], verbose=0)
    best = tuner.finished_trials()
    assert {trial.hyperparameters.get("method") for trial in best} == {"mmd", "cdan"}
    for trial, model in zip(best, tuner.get_best_models(2), strict=True):
        assert not isinstance(model, kx.DomainAdaptation)
        probabilities = keras.ops.softmax(model.predict(negatives.validation, verbose=0))
        found = kx.information_maximization_score(np.asarray(probabilities))
        assert found == pytest.approx(trial.score, abs=1e-5)
        assert isinstance(space.build(trial.hyperparameters), kx.DomainAdaptation)
    assert model.resize == "stretch"  # for `kx.export`
    assert model.class_names == ["dark", "bright"]


@pytest.mark.slow
def test_the_best_adapted_model_is_tested_and_exported(make_space, domains, tmp_path):
    pairs, score, negatives = domains
    space = make_space(strategies=["feature_extraction"], methods=["mmd"])
    target = keras_tuner.Objective("val_target_score", "max")
    oracle = small(keras_tuner.oracles.GridSearchOracle(target, max_trials=1), weight_factor=1.0)
    tuner = kx.TransferTuner(space, oracle=oracle, directory=tmp_path)
    tuner.search(pairs, epochs=1, callbacks=[score], verbose=0)

    data = dataclasses.replace(negatives, train=pairs, validation=None, test=negatives.validation)
    [best] = kx.export_best_models(tuner, data, tmp_path / "models", verbose=0)
    expected = kx.evaluate(tuner.get_best_models()[0], negatives.validation, verbose=False)
    assert best.test["accuracy"] == expected.accuracy

    again = kx.retrain(best.record, space, data, callbacks=[score], verbose=0)
    for ours, theirs in zip(
        again.get_weights(), tuner.get_best_models()[0].get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)

    swapped = kx.pair_domains(negatives.train, pairs.domains[0], target_labels="ignore")
    other = dataclasses.replace(data, train=swapped)
    with pytest.raises(ValueError, match="other train data"):
        kx.retrain(best.record, space, other, callbacks=[score], verbose=0)


def test_pairs_come_in_an_order_of_the_trial_and_in_smaller_batches(domains):
    from keras_transfer.data.batch_size import batch_size_of, with_batch_size
    from keras_transfer.search.trials.data_order import DataOrder

    pairs, _, _ = domains

    def first(dataset, epoch):
        keras.utils.set_random_seed(1)  # tf.data's shuffles take no tensor beside a seed of 0
        order = DataOrder(dataset, seed=3)
        order.on_epoch_begin(epoch)
        return next(iter(order.dataset))[0]["target"].numpy()

    one = first(pairs, 0)
    list(pairs)  # another pass, which moves the shuffle of tf.data on
    np.testing.assert_array_equal(first(pairs, 0), one)
    assert not np.array_equal(first(pairs, 1), one)
    halved = with_batch_size(pairs, batch_size_of(pairs) // 2)
    inputs, labels = next(iter(halved))
    assert (len(inputs["source"]), len(inputs["target"])) == (4, 2)
    assert list(labels) == ["source"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbones": []}, "backbones"),
        ({"poolings": []}, "poolings"),
        ({"strategies": ["all"]}, "feature_extraction.*Received"),
        ({"strategies": []}, "feature_extraction.*Received"),
        ({"optimizers": ["adam"]}, "adamw.*Received.*adam"),
        ({"learning_rate": (1e-2, 1e-4)}, r"lowest, highest.*Received: learning_rate=\(0.01"),
        ({"learning_rate": (0.0, 1e-4)}, "above 0"),
        ({"augmentations": ["strong"], "input_shape": None}, "input_shape.*strong"),
        ({"methods": ["MMD"]}, "mmd.*Received"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_spaces_of_nothing_are_refused(make_space, options, message):
    with pytest.raises(ValueError, match=message):
        make_space(**options)


def test_ranges_of_a_subclass_that_contradict_themselves_are_refused(make_space, tmp_path):
    class Reversed(kx.TransferHyperModel):
        def head(self, hp):
            return {"dropout": hp.Float("dropout", 0.5, 0.1)}

    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=1)
    with pytest.raises(ValueError, match="dropout.*0.5 is greater than the max_value 0.1"):
        kx.TransferTuner(make_space(Reversed), oracle=oracle, directory=tmp_path)
