import json
import pathlib

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.search.state.identity import identity_of_data


def run(tuner, data, epochs=2, **options):
    tuner.search(data.train, validation_data=data.validation, epochs=epochs, verbose=0, **options)
    return tuner


def scores(tuner):
    return {trial.trial_id: trial.score for trial in tuner.finished_trials()}


def values(tuner):
    return {t.trial_id: t.hyperparameters.values for t in tuner.oracle.trials.values()}


class Killed(BaseException):
    """Ends the process, but for the test."""


class KillAt(keras.callbacks.Callback):
    """Kills when so many epochs of the search were begun."""

    left = 0

    def on_epoch_begin(self, epoch, logs=None):
        KillAt.left -= 1
        if KillAt.left == 0:
            raise Killed


class CountEpochs(keras.callbacks.Callback):
    count = 0

    def on_epoch_end(self, epoch, logs=None):
        CountEpochs.count += 1


def test_models_of_the_best_trials_predict_what_was_scored(make_tuner, search_data):
    tuner = run(make_tuner(trials=4, keep_models=2), search_data, epochs=3)
    best = tuner.finished_trials()
    assert [x.score for x in best] == sorted(x.score for x in best)
    for model, trial in zip(tuner.get_best_models(2), best, strict=False):
        loss = model.evaluate(search_data.validation, verbose=0, return_dict=True)["loss"]
        assert loss == pytest.approx(trial.score, abs=1e-5)
    kept = sorted(x.parent.name for x in pathlib.Path(tuner.project_dir).glob("*/weights.npz"))
    assert kept == sorted(f"trial_{trial.trial_id}" for trial in best[:2])
    with pytest.raises(FileNotFoundError, match="keep_models"):
        tuner.get_best_models(3)


def test_the_frozen_part_runs_once_for_all_trials(make_tuner, search_data, monkeypatch):
    ran = []
    from keras_transfer.caching.runner import Runner

    before = Runner.__call__
    monkeypatch.setattr(
        Runner, "__call__", lambda self, *args: ran.append(1) or before(self, *args)
    )

    def search(trials):
        ran.clear()
        oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=trials, seed=3)
        oracle.hyperparameters.Fixed("dropout", 0.2)  # without, the cut lies behind it
        run(make_tuner(oracle=oracle, project_name=f"of {trials}"), search_data)
        return len(ran)

    assert search(4) == search(1) > 0


def test_features_change_nothing(make_tuner, search_data):
    with_cache = scores(run(make_tuner(trials=3), search_data))
    without = scores(run(make_tuner(trials=3, project_name="plain", cache=None), search_data))
    assert without == pytest.approx(with_cache, abs=1e-5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, build_model, search_data):
    """A search of three trials and three epochs that nobody has killed."""
    oracle = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("val_loss", "min"), max_trials=3, seed=3
    )
    tuner = kx.TransferTuner(build_model, oracle=oracle, directory=tmp_path_factory.mktemp("a"))
    return run(tuner, search_data, epochs=3)


# Of nine epochs; the slow ones, too, before a change of what is kept.
KILLS = [n if n == 5 else pytest.param(n, marks=pytest.mark.slow) for n in range(1, 10)]


@pytest.mark.parametrize("kill_at", KILLS)
def test_killed_anywhere_it_ends_as_if_it_had_not_been(make_tuner, search_data, whole, kill_at):
    CountEpochs.count, KillAt.left = 0, kill_at
    with pytest.raises(Killed):
        run(make_tuner(trials=3), search_data, epochs=3, callbacks=[CountEpochs(), KillAt()])
    tuner = run(make_tuner(trials=3), search_data, epochs=3, callbacks=[CountEpochs()])
    assert values(tuner) == values(whole)
    assert scores(tuner) == scores(whole)
    assert CountEpochs.count <= 9 + 1


def test_a_finished_search_does_nothing_more(make_tuner, search_data):
    before = scores(run(make_tuner(trials=2), search_data))
    CountEpochs.count = 0
    assert scores(run(make_tuner(trials=2), search_data, callbacks=[CountEpochs()])) == before
    assert CountEpochs.count == 0
    assert len(run(make_tuner(trials=3), search_data).finished_trials()) == 3


ORACLES = {
    "random": lambda: keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=5, seed=1),
    "bayesian": lambda: keras_tuner.oracles.BayesianOptimizationOracle(
        keras_tuner.Objective("val_loss", "min"), max_trials=5, num_initial_points=2, seed=1
    ),
    "grid": lambda: keras_tuner.oracles.GridSearchOracle("val_loss", max_trials=5, seed=1),
    "hyperband": lambda: keras_tuner.oracles.HyperbandOracle(
        "val_loss", max_epochs=4, factor=2, seed=1
    ),
}


# scikit-learn's, of the curve that Bayesian search fits to few trials.
@pytest.mark.filterwarnings("ignore:The optimal value found for dimension")
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.slow
@pytest.mark.parametrize("name", ORACLES)
def test_every_oracle_goes_on_as_if_it_had_not_been_killed(make_tuner, search_data, name):
    whole = run(make_tuner(oracle=ORACLES[name](), project_name="whole"), search_data)
    KillAt.left = 5
    while KillAt.left >= 0:
        tuner = make_tuner(oracle=ORACLES[name]())
        try:
            run(tuner, search_data, callbacks=[KillAt()])
        except Killed:
            KillAt.left = 4
            continue
        break
    assert values(tuner) == values(whole)
    assert scores(tuner) == scores(whole)


class Precision(keras.callbacks.Callback):
    seen: list = []

    def on_train_begin(self, logs=None):
        Precision.seen.append({layer.dtype_policy.name for layer in self.model.layers})


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_every_layer_of_every_trial_has_the_precision_asked_for(make_tuner, search_data, policy):
    Precision.seen = []
    compute = kx.compute_strategy(["CPU:0"], precision=policy)
    tuner = run(make_tuner(trials=3, compute=compute), search_data, callbacks=[Precision()])
    assert Precision.seen == [{policy}] * 3
    for model in tuner.get_best_models(2):
        assert {layer.dtype_policy.name for layer in model.layers} == {policy}
    assert keras.config.dtype_policy().name == "float32"


def test_a_trial_that_fails_is_kept_with_its_traceback(make_tuner, search_data, build_model):
    def build(hp):
        model = build_model(hp)
        if hp.Boolean("breaks"):
            raise ZeroDivisionError("of this test")
        return model

    oracle = keras_tuner.oracles.GridSearchOracle("val_loss", max_trials=12)
    space = oracle.hyperparameters
    space.Boolean("breaks", default=False)
    space.Fixed("rate", 0.01)
    tuner = run(make_tuner(build, oracle=oracle), search_data, epochs=1)
    failed = [t for t in tuner.oracle.trials.values() if t.status == "FAILED"]
    assert len(failed) == 3
    assert len(tuner.finished_trials()) == 3
    text = (pathlib.Path(tuner.project_dir) / f"trial_{failed[0].trial_id}/error.txt").read_text()
    assert "ZeroDivisionError: of this test" in text
    assert "ZeroDivisionError" in failed[0].message


def test_all_trials_failing_is_an_error(make_tuner, search_data, build_model):
    calls = []

    def build(hp):
        calls.append(1)
        if len(calls) > 1:  # the first is to learn the space
            raise ZeroDivisionError("of this test")
        return build_model(hp)

    with pytest.raises(RuntimeError, match="(?s)all have failed.*of this test"):
        run(make_tuner(build, trials=4), search_data)
    assert len(calls) == 5


class OutOfMemory(keras.callbacks.Callback):
    """Of batches above four."""

    sizes: list = []

    def on_train_batch_end(self, batch, logs=None):
        size = self.params["steps"]
        OutOfMemory.sizes.append(size)
        if size < 12:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM of this test")


def test_out_of_memory_halves_the_batches(make_tuner, search_data, capsys):
    OutOfMemory.sizes = []
    tuner = run(make_tuner(trials=3), search_data, callbacks=[OutOfMemory()])
    assert len(tuner.finished_trials()) == 3
    sizes = [trial.metrics.get_best_value("batch_size") for trial in tuner.oracle.trials.values()]
    assert sizes == [4, 4, 4]
    assert max(OutOfMemory.sizes) == 12


def test_an_objective_that_no_metric_has_is_named_with_those_that_exist(make_tuner, search_data):
    oracle = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("val_f1", "max"), max_trials=2
    )
    with pytest.raises(ValueError, match="val_f1.*val_accuracy"):
        run(make_tuner(oracle=oracle), search_data)


def test_another_number_of_epochs_is_told(make_tuner, search_data):
    run(make_tuner(trials=1), search_data, epochs=1)
    with pytest.raises(ValueError, match="search 'epochs' was 1 and is 3"):
        run(make_tuner(trials=2), search_data, epochs=3)


def test_a_changed_space_is_told(make_tuner, search_data, build_model):
    run(make_tuner(trials=1), search_data)

    def other(hp):
        hp.Int("new", 1, 3)
        return build_model(hp)

    with pytest.raises(ValueError, match="'new'.*was None"):
        make_tuner(other, trials=1)
    oracle = keras_tuner.oracles.RandomSearchOracle("val_accuracy", max_trials=2)
    with pytest.raises(ValueError, match="objective.*val_loss.*val_accuracy"):
        make_tuner(oracle=oracle)
    assert make_tuner(other, trials=1, overwrite=True).finished_trials() == []


def test_other_data_is_told(make_tuner, search_data):
    run(make_tuner(trials=1), search_data, epochs=1)
    [pixels, labels] = [np.concatenate(x) for x in zip(*search_data.train, strict=True)]
    fixed = {"class_names": ["dark", "bright"], "batch_size": 8, "validation_split": 0.25}

    def refused(message, pixels, labels):
        other = kx.arrays(pixels.astype("uint8"), labels, **fixed)
        with pytest.raises(ValueError, match=message):
            make_tuner(trials=2).search(other.train, epochs=1, verbose=0)

    refused("training data 'number of examples' was 48 and is 30", pixels[:40], labels[:40])
    tuner, options = make_tuner(trials=2), {"validation_split": 0.0, "batch_size": 8}
    negatives = kx.arrays(255 - pixels[:12].astype("uint8"), labels[:12], **options).train
    with pytest.raises(ValueError, match="validation data 'content' was"):
        tuner.search(search_data.train, validation_data=negatives, epochs=1, verbose=0)
    assert len(tuner.oracle.trials) == 1
    # Of a pipeline of somebody's own nothing is known; it may be the same.
    own = search_data.train.map(lambda x, y: (x, y))
    tuner.search(own, validation_data=search_data.validation, epochs=1, verbose=0)
    assert len(tuner.finished_trials()) == 2


def test_other_labels_are_other_data(search_data):
    [pixels, labels] = [np.concatenate(x) for x in zip(*search_data.train, strict=True)]
    one, other, smaller, shuffled = (
        identity_of_data(
            "training data",
            kx.arrays(pixels.astype("uint8"), y, validation_split=0.0, **options).train,
        )
        for y, options in (
            (labels, {}),
            (1 - labels, {}),
            (labels, {"image_size": (4, 4)}),
            (labels, {"seed": 3, "batch_size": 2}),
        )
    )
    assert one["training data"].keys() == {"number of examples", "content"}
    assert one != other
    assert one != smaller
    assert one == shuffled


def test_pairs_are_known_by_both_domains(search_data):
    pairs = kx.pair_domains(search_data.train, search_data.train, target_labels="ignore")
    found = identity_of_data("training data", pairs)
    alone = identity_of_data("training data", search_data.train)["training data"]
    assert found == {"training data source": alone, "training data target": alone}


@pytest.mark.parametrize(
    "damage", ["cut", *(pytest.param(x, marks=pytest.mark.slow) for x in ("flip", "empty", "gone"))]
)
def test_a_damaged_state_is_set_aside(make_tuner, search_data, damage):
    before = scores(run(make_tuner(trials=3), search_data))
    path = pathlib.Path(make_tuner(trials=3).project_dir) / "search.json"
    text = path.read_text()
    if damage == "gone":
        path.unlink()
    else:
        changed = {"cut": text[: len(text) // 2], "flip": text.replace("0", "1", 3), "empty": ""}
        path.write_text(changed[damage])
        with pytest.warns(UserWarning, match="damaged"):
            make_tuner(trials=3)
        assert path.with_name("search.json.damaged").is_file()
    assert scores(run(make_tuner(trials=3), search_data)) == before


@pytest.mark.slow
def test_pruned_trials_count_with_what_they_reached(make_tuner, search_data):
    whole = run(make_tuner(trials=6, project_name="whole"), search_data, epochs=4)
    pruner = kx.SuccessiveHalving(factor=2)
    tuner = run(make_tuner(trials=6, pruner=pruner), search_data, epochs=4)
    assert len(tuner.finished_trials()) == 6
    assert tuner.rules.ended_early
    for trial in tuner.oracle.trials.values():
        told = trial.metrics.get_history("val_loss")
        pruned = trial.trial_id in tuner.rules.ended_early
        assert (len(told) < 4) == pruned
        of_whole = whole.oracle.trials[trial.trial_id].metrics.get_history("val_loss")
        np.testing.assert_allclose(
            [x.mean() for x in told], [x.mean() for x in of_whole][: len(told)], rtol=1e-6
        )


@pytest.mark.parametrize(
    ("budget", "epochs"),
    [(kx.SearchBudget(epochs=5), 5), (kx.SearchBudget(hours=1e-9), 0)],
    ids=["epochs", "hours"],
)
def test_a_budget_ends_the_search_with_the_best_so_far(make_tuner, search_data, budget, epochs):
    tuner = run(make_tuner(trials=9, budget=budget), search_data, epochs=3)
    told = [len(x.metrics.get_history("val_loss")) for x in tuner.oracle.trials.values()]
    assert sum(told) == epochs
    assert len(tuner.finished_trials()) == len(told)
    if told:
        assert tuner.get_best_models(1)
    assert tuner.rules.ended_by
    # Nor does it go on when it is called again.
    run(make_tuner(trials=9, budget=budget), search_data, epochs=3)


def test_a_disk_budget_ends_the_search(make_tuner, search_data):
    tuner = run(make_tuner(trials=9, budget=kx.SearchBudget(disk_bytes=10)), search_data)
    assert len(tuner.oracle.trials) <= 1


def test_several_executions_count_by_their_mean(make_tuner, search_data):
    tuner = run(make_tuner(trials=2, executions_per_trial=2), search_data, epochs=2)
    for trial in tuner.finished_trials():
        assert len(trial.metrics.get_history("val_loss")) == 2


def test_hypermodels_with_a_fit_of_their_own_are_asked(make_tuner, search_data, build_model):
    class Own(keras_tuner.HyperModel):
        def build(self, hp):
            return build_model(hp)

        def fit(self, hp, model, *args, checkpoints, **kwargs):
            assert checkpoints.parent.name == "epochs"
            history = model.fit(*args, shuffle=False, **kwargs)
            return {"val_loss": history.history["val_loss"][-1] + 100}

    tuner = run(make_tuner(Own(), trials=1), search_data)
    [trial] = tuner.finished_trials()
    assert trial.score > 100


def test_arrays_are_refused(make_tuner):
    with pytest.raises(TypeError, match="tf.data.Dataset"):
        make_tuner().search(np.zeros([4, 8, 8, 3]), np.zeros(4))


def test_state_is_plain_json(make_tuner, search_data):
    tuner = run(make_tuner(trials=1), search_data)
    digest, text = (pathlib.Path(tuner.project_dir) / "search.json").read_text().splitlines()
    assert len(digest) == 64
    assert set(json.loads(text)) == {"identity", "oracle", "trials", "besides"}
