import json

import pytest

import keras_transfer as kx
from keras_transfer.runs import finish_run, load_run, start_run

SETTINGS = {"data": "pictures", "epochs": 1, "resize": "pad"}


@pytest.fixture
def finished(tiny_backbone, tiny_data, tmp_path):
    model = kx.Classifier(tiny_backbone, tiny_data.class_names)
    checkpoints = start_run(tmp_path, SETTINGS, overwrite=False)
    history = kx.fine_tune(model, tiny_data.train, epochs=1, checkpoints=checkpoints, verbose=0)
    finish_run(tmp_path, model, history, kx.evaluate(model, tiny_data.test, verbose=False))
    return tmp_path, model


def test_loaded_run_is_the_model_with_its_class_names(finished):
    folder, model = finished
    loaded, settings = load_run(folder)
    assert settings == SETTINGS
    assert list(loaded.class_names) == ["dark", "bright"]
    assert loaded.resize == "pad"
    assert (loaded.get_weights()[0] == model.get_weights()[0]).all()


def test_interrupted_run_keeps_its_checkpoints(tmp_path):
    folder = start_run(tmp_path, SETTINGS, overwrite=False)
    (folder / "epoch-00001").mkdir(parents=True)
    assert start_run(tmp_path, SETTINGS, overwrite=False) == folder
    assert (folder / "epoch-00001").is_dir()


def test_overwritten_run_keeps_nothing_stale(tmp_path):
    folder = start_run(tmp_path, SETTINGS, overwrite=False)
    (folder / "epoch-00001").mkdir(parents=True)
    start_run(tmp_path, SETTINGS | {"epochs": 2}, overwrite=True)
    assert not folder.exists()


def test_earlier_result_stays_until_the_next_is_finished(finished):
    folder, _ = finished
    start_run(folder, SETTINGS | {"epochs": 9}, overwrite=True)
    assert json.loads((folder / "metrics.json").read_text())
    assert load_run(folder)[1] == SETTINGS


def test_killed_while_writing_results_is_not_a_finished_run(finished, monkeypatch):
    folder, model = finished
    start_run(folder, SETTINGS, overwrite=True)
    monkeypatch.setattr("keras_transfer.runs._write_history", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        finish_run(folder, model, [], None)
    with pytest.raises(FileNotFoundError, match="finished"):
        load_run(folder)
