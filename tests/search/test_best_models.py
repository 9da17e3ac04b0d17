"""The end of a search: what is trained again, measured once and exported."""

import dataclasses
import json
import pathlib
import shutil

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.search.best import best_models
from keras_transfer.search.trials.trial_folder import TrialFolder
from keras_transfer.serving.export import METADATA
from keras_transfer.serving.local import LocalModel


class Killed(BaseException):
    """Ends the process, but for the test."""


class KillAt(keras.callbacks.Callback):
    """Kills when so many epochs were begun."""

    def __init__(self, epochs):
        super().__init__()
        self.left = epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Killed


class Seen(keras.callbacks.Callback):
    """How many batches each epoch had, and which metrics."""

    def on_train_begin(self, logs=None):
        self.batches, self.logs = getattr(self, "batches", []), set()

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.append(0)

    def on_train_batch_end(self, batch, logs=None):
        self.batches[-1] += 1

    def on_epoch_end(self, epoch, logs=None):
        self.logs = set(logs)


def make_data(seed=1, **options):
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    pictures = random.integers(0, 200, (60, 8, 8, 3)) + 25 * labels[:, None, None, None]
    splits = {"validation_split": 0.3, "test_split": 0.2, "batch_size": 8}
    names = ["dark", "bright"]
    return kx.arrays(
        pictures.astype("uint8"), labels, class_names=names, seed=seed, **splits, **options
    )


@pytest.fixture
def data():
    return make_data()


def make_tuner(build, folder, trials=4, **options):
    oracle = options.pop("oracle", None) or keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("val_loss", "min"), max_trials=trials, seed=3
    )
    return kx.TransferTuner(build, oracle=oracle, directory=folder, **options)


def search(tuner, data, epochs=3, **options):
    tuner.search(data.train, validation_data=data.validation, epochs=epochs, verbose=0, **options)
    return tuner


@pytest.fixture(scope="module")
def finished(build_model, tmp_path_factory):
    """The folder of a search that is over."""
    folder = tmp_path_factory.mktemp("finished")
    search(make_tuner(build_model, folder, pruner=kx.SuccessiveHalving(factor=2)), make_data())
    return folder


@pytest.fixture
def searched(finished, build_model, tmp_path):
    """The tuner of that search, in a folder of its own."""

    def make(name="of search", trained_epochs=None):
        shutil.copytree(finished, tmp_path / name)
        tuner = make_tuner(build_model, tmp_path / name)
        if trained_epochs is not None:
            path = tuner.trial_folder(tuner.finished_trials()[0].trial_id).record
            told = json.loads(path.read_text())
            path.write_text(json.dumps(told | {"trained_epochs": trained_epochs}))
        return tuner

    return make


@pytest.fixture
def quick(monkeypatch):
    """Evaluations are counted, and versions are folders with nothing but what is noted in them."""
    counted = {"evaluated": 0, "exported": 0}
    evaluate = best_models.evaluate

    def counting(*args, **options):
        counted["evaluated"] += 1
        return evaluate(*args, **options)

    def export(model, base_path, *, metadata, **options):
        counted["exported"] += 1
        version = base_path / str(len(list(base_path.glob("*"))) + 1)
        (version / METADATA).parent.mkdir(parents=True)
        (version / METADATA).write_text(json.dumps(metadata))
        return version

    monkeypatch.setattr(best_models, "evaluate", counting)
    monkeypatch.setattr(best_models, "export", export)
    return counted


def weights_of(tuner, rank=1):
    return TrialFolder(pathlib.Path(tuner.project_dir) / "best" / str(rank)).load_weights()


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def record_of(tuner):
    return json.loads((pathlib.Path(tuner.project_dir) / "best.json").read_text())


def test_what_is_exported_is_what_was_evaluated_and_says_how_it_was_made(searched, data, tmp_path):
    tuner = searched()
    [best] = kx.export_best_models(tuner, data, tmp_path / "models", verbose=0)
    assert best.version == tmp_path / "models" / "1"
    kx.verify(best.version)
    trial = tuner.finished_trials()[0]
    assert (best.trial_id, best.score) == (trial.trial_id, trial.score)
    assert_same(weights_of(tuner), tuner.get_best_models()[0].get_weights())
    told = record_of(tuner)
    assert json.loads((best.version / METADATA).read_text()) == told
    assert told["hyperparameters"] == trial.hyperparameters.values
    assert told["scores"]["objective"]["value"] == trial.score
    assert (told["epochs"], told["batch_size"], told["precision"]) == (3, 8, "float32")
    assert told["trained_epochs"] == trial.best_step + 1
    assert set(told["data"]) == {"train", "validation", "test"}
    assert told["versions"]["keras"] == keras.__version__
    # The served model is right as often as was measured.
    served = LocalModel(best.version)._model.signatures["pixels"]
    batches = [(served(pixels=x)["label"].numpy(), y.numpy()) for x, y in data.test]
    right = [
        label.decode() == data.class_names[i]
        for a, b in batches
        for label, i in zip(a, b, strict=True)
    ]
    assert np.mean(right) == best.test["accuracy"] == told["scores"]["test"]["accuracy"]


@pytest.mark.parametrize("all_data", [False, True], ids=["kept", "retrained"])
def test_its_record_gives_the_same_model_bit_for_bit(
    searched, data, quick, tmp_path, build_model, all_data
):
    tuner = searched()
    kx.export_best_models(tuner, data, tmp_path / "models", retrain=all_data, verbose=0)
    np.random.default_rng().random(7)
    keras.utils.set_random_seed(99)
    record = pathlib.Path(tuner.project_dir) / "best.json"
    again = kx.retrain(record, build_model, make_data(), verbose=0)
    assert_same(again.get_weights(), weights_of(tuner))


class OutOfMemory(keras.callbacks.Callback):
    """Of batches above four."""

    def on_train_batch_end(self, batch, logs=None):
        if self.params["steps"] < 8:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM of this test")


@pytest.mark.slow
def test_batches_are_those_that_fitted_into_memory(data, quick, tmp_path, build_model):
    tuner = make_tuner(build_model, tmp_path, trials=1)
    search(tuner, data, epochs=1, callbacks=[OutOfMemory()])
    kx.export_best_models(tuner, data, tmp_path / "models", verbose=0)
    assert record_of(tuner)["batch_size"] == 4
    record = pathlib.Path(tuner.project_dir) / "best.json"
    again = kx.retrain(record, build_model, data, verbose=0)
    assert_same(again.get_weights(), weights_of(tuner))


@pytest.mark.slow
def test_a_trial_that_went_on_from_another_is_trained_from_its_beginning(
    data, quick, tmp_path, build_model
):
    oracle = keras_tuner.oracles.HyperbandOracle("val_loss", max_epochs=2, factor=2, seed=1)
    tuner = search(make_tuner(build_model, tmp_path, oracle=oracle), data)
    later = [t for t in tuner.finished_trials() if t.hyperparameters.values.get("tuner/trial_id")]
    assert later
    tuner.finished_trials = lambda: later
    kx.export_best_models(tuner, data, tmp_path / "models", verbose=0)
    assert record_of(tuner)["goes_on_from"]["hyperparameters"]
    record = pathlib.Path(tuner.project_dir) / "best.json"
    again = kx.retrain(record, build_model, data, verbose=0)
    assert_same(again.get_weights(), weights_of(tuner))


def test_retraining_sees_all_data_for_the_epochs_that_were_best(searched, data, quick, tmp_path):
    tuner, seen = searched(trained_epochs=2), Seen()
    kx.export_best_models(
        tuner, data, tmp_path / "models", retrain=True, callbacks=[seen], verbose=0
    )
    # 60 pictures, of which 12 are for the test, in batches of 8.
    assert seen.batches == [6] * 2
    assert seen.logs == {"loss", "accuracy"}
    assert record_of(tuner)["retrained"]
    assert sorted(x.name for x in (pathlib.Path(tuner.project_dir) / "best" / "1").iterdir()) == [
        "build_config.json",
        "shared.npz",
        "test.json",
        "weights.npz",
    ]


@pytest.mark.slow
def test_retraining_goes_on_where_it_was_killed(searched, data, quick, tmp_path):
    whole = searched("whole", trained_epochs=3)
    kx.export_best_models(whole, data, tmp_path / "whole models", retrain=True, verbose=0)
    tuner, seen = searched(trained_epochs=3), Seen()
    for epochs in (1, 2, 2):
        killed = [seen, KillAt(epochs)]
        with pytest.raises(Killed):
            kx.export_best_models(
                tuner, data, tmp_path / "models", retrain=True, callbacks=killed, verbose=0
            )
    kx.export_best_models(tuner, data, tmp_path / "models", retrain=True, callbacks=[seen])
    assert seen.batches == [0, 6, 0, 6, 0, 6]
    assert_same(weights_of(tuner), weights_of(whole))


def test_the_test_is_looked_at_once(searched, data, quick, tmp_path):
    tuner = searched()
    first = kx.export_best_models(tuner, data, tmp_path / "models", verbose=0)
    assert kx.export_best_models(tuner, data, tmp_path / "models", verbose=0) == first
    assert quick == {"evaluated": 1, "exported": 1}
    with pytest.warns(UserWarning, match="was looked at for trial"):
        other = kx.export_best_models(tuner, data, tmp_path / "models", 3, retrain=True, verbose=0)
    assert other == first
    other_test = make_data(resize="crop")  # the same pictures made otherwise
    with pytest.warns(UserWarning, match="was looked at"), pytest.raises(ValueError, match="other"):
        kx.export_best_models(tuner, other_test, tmp_path / "models", verbose=0)
    assert quick == {"evaluated": 1, "exported": 1}


def test_a_search_that_goes_on_does_not_choose_again(searched, data, quick, tmp_path):
    tuner = searched()
    [first] = kx.export_best_models(tuner, data, tmp_path / "models", verbose=0)
    better, *_ = others = tuner.finished_trials()[::-1]
    assert better.trial_id != first.trial_id
    tuner.finished_trials = lambda: others
    tuner.trial_folder(first.trial_id).weights.unlink()
    with pytest.warns(UserWarning, match="was looked at"):
        [found] = kx.export_best_models(tuner, data, tmp_path / "elsewhere", verbose=0)
    assert (found.trial_id, found.test) == (first.trial_id, first.test)
    assert found.version == tmp_path / "elsewhere" / "1"
    assert quick == {"evaluated": 1, "exported": 2}


@pytest.mark.slow
def test_without_a_look_at_the_test_one_may_choose_again(searched, data, quick, tmp_path):
    tuner = searched()
    blind = dataclasses.replace(data, test=None)
    [first] = kx.export_best_models(tuner, blind, tmp_path / "models", verbose=0)
    assert first.test is None
    assert len(kx.export_best_models(tuner, data, tmp_path / "models", 2, verbose=0)) == 2
    assert quick["evaluated"] == 2


def test_killed_anywhere_nothing_is_measured_or_exported_twice(
    searched, data, quick, tmp_path, monkeypatch
):
    tuner = searched()

    def killed_after(name):
        call = getattr(best_models, name)

        def then_killed(*args, **options):
            call(*args, **options)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(best_models, name, then_killed)
            with pytest.raises(Killed):
                kx.export_best_models(tuner, data, tmp_path / "models", 2, verbose=0)

    killed_after("choose")
    assert quick["evaluated"] == 0
    killed_after("export")
    assert quick == {"evaluated": 1, "exported": 1}
    found = kx.export_best_models(tuner, data, tmp_path / "models", 2, verbose=0)
    assert quick == {"evaluated": 2, "exported": 2}
    assert [x.version for x in found] == [tmp_path / "models" / "1", tmp_path / "models-2" / "1"]


@pytest.mark.slow
def test_models_come_in_the_order_of_validation(searched, data, quick, tmp_path, capsys):
    tuner = searched()
    found = kx.export_best_models(tuner, data, tmp_path / "m", 3, verbose=2)
    assert [x.trial_id for x in found] == [x.trial_id for x in tuner.finished_trials()[:3]]
    assert [x.score for x in found] == sorted(x.score for x in found)
    assert [x.record.name for x in found] == ["best.json", "best-2.json", "best-3.json"]
    for rank, model in enumerate(found, start=1):
        assert json.loads(model.record.read_text())["trial"] == model.trial_id
        expected = tuner.load_model(tuner.oracle.trials[model.trial_id]).get_weights()
        assert_same(weights_of(tuner, rank), expected)
    printed = capsys.readouterr().out
    assert "val_loss" in printed
    assert printed.index("best ") < printed.index("│ 2") < printed.index("│ 3")


def test_other_data_than_that_of_the_search_is_refused(
    searched, data, quick, tmp_path, build_model
):
    tuner = searched()
    other = make_data(seed=2)
    with pytest.raises(ValueError, match="Received: other train and validation data"):
        kx.export_best_models(tuner, other, tmp_path / "models", verbose=0)
    kx.export_best_models(tuner, data, tmp_path / "models", verbose=0)
    with pytest.raises(ValueError, match="another split.*Received: other train"):
        kx.retrain(pathlib.Path(tuner.project_dir) / "best.json", build_model, other)


def test_searches_without_models_are_refused(searched, data, tmp_path, build_model):
    with pytest.raises(ValueError, match="finished.*Received: none"):
        kx.export_best_models(make_tuner(build_model, tmp_path), data, tmp_path / "models")
    tuner = searched()
    with pytest.raises(ValueError, match="Received: 0"):
        kx.export_best_models(tuner, data, tmp_path / "models", 0)
    with pytest.raises(FileNotFoundError, match="keep_models"):
        kx.export_best_models(tuner, data, tmp_path / "models", 4)
    assert not (pathlib.Path(tuner.project_dir) / "best").exists()


def test_options_of_fit_that_json_does_not_hold_are_told(searched, data, quick, tmp_path):
    tuner = searched()
    path = tuner.trial_folder(tuner.finished_trials()[0].trial_id).record
    path.write_text(json.dumps(json.loads(path.read_text()) | {"options_not_kept": ["weights"]}))
    with pytest.raises(ValueError, match="options that JSON can hold.*weights"):
        kx.export_best_models(tuner, data, tmp_path / "models", retrain=True, verbose=0)


@pytest.mark.slow
def test_records_of_others_and_of_other_versions(searched, data, quick, tmp_path, build_model):
    tuner = searched(trained_epochs=1)
    kx.export_best_models(tuner, data, tmp_path / "models", verbose=0)
    record = tmp_path / "record.json"
    told = record_of(tuner)
    record.write_text(json.dumps(told | {"versions": told["versions"] | {"keras": "3.0"}}))
    with pytest.warns(UserWarning, match=f"keras 3.0, now {keras.__version__}"):
        kx.retrain(record, build_model, data, verbose=0)
    record.write_text(json.dumps({"seed": 3}))
    with pytest.raises(ValueError, match="without.*'hyperparameters'"):
        kx.retrain(record, build_model, data)
