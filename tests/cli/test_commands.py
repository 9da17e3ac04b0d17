"""Each command as a user would call it, on a folder of small pictures."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_transfer as kx
from keras_transfer.cli import app

QUICK = ["--image-size", "32", "--epochs", "1", "--batch-size", "8"]


def call(*arguments, fails=False):
    """Runs a command in this process; errors are raised as they are."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=fails)
    assert (result.exit_code != 0) == fails, result.output
    return result


@pytest.fixture
def run(picture_folder, tmp_path):
    call("fit", picture_folder, "--output", tmp_path / "run", "--test-split", "0.2", *QUICK)
    return tmp_path / "run"


def test_run_folder_holds_what_export_needs(run):
    names = sorted(path.name for path in run.iterdir())
    assert names == [
        "class_names.json",
        "confusion_matrix.png",
        "history.csv",
        "metrics.json",
        "model.keras",
        "settings.json",
    ]
    assert json.loads((run / "class_names.json").read_text()) == ["bright", "dark"]
    figures = json.loads((run / "metrics.json").read_text())
    assert figures["num_examples"] == 4
    header, row = (run / "history.csv").read_text().splitlines()
    assert header == "stage,epoch,accuracy,loss,val_accuracy,val_loss"
    assert row.startswith("0,0,")
    settings = json.loads((run / "settings.json").read_text())
    assert settings["backbone"] == "efficientnet_lite0"
    assert settings["versions"]["keras"] == keras.__version__


def test_export_verify_predict_and_evaluate_agree(run, picture_folder, tmp_path):
    call("export", run, tmp_path / "models")
    version = tmp_path / "models" / "1"
    assert "loads and answers" in call("verify", version).output
    rows = [
        json.loads(line)
        for line in call("predict", version, picture_folder, "--json").stdout.splitlines()
    ]
    assert len(rows) == 20
    call("evaluate", run, picture_folder, "--part", "test", "--output", tmp_path / "evaluation")
    figures = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert figures == json.loads((run / "metrics.json").read_text())
    model = keras.models.load_model(run / "model.keras")
    data = kx.image_folder(picture_folder, image_size=(32, 32), validation_split=0.0)
    expected = sorted(
        data.class_names[i] for xs, _ in data.train for i in model(xs).numpy().argmax(-1)
    )
    assert sorted(row["label"] for row in rows) == expected


def test_predict_names_unreadable_pictures_and_answers_for_the_others(run, tmp_path, encode):
    call("export", run, tmp_path / "models")
    (tmp_path / "good.png").write_bytes(encode(np.zeros([9, 9, 3], np.uint8)))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    version = tmp_path / "models" / "1"
    result = call("predict", version, tmp_path / "bad.png", tmp_path / "good.png", fails=True)
    shown = " ".join(result.output.replace("│", " ").split())
    assert "not a JPEG" in shown
    assert "bright" in shown or "dark" in shown


def test_finished_run_is_not_overwritten_unless_told(run, picture_folder):
    before = (run / "metrics.json").stat().st_mtime_ns
    with pytest.raises(FileExistsError, match="--overwrite.*finished training"):
        call("fit", picture_folder, "--output", run, *QUICK)
    assert (run / "metrics.json").stat().st_mtime_ns == before
    call("fit", picture_folder, "--output", run, "--overwrite", *QUICK)
    assert (run / "metrics.json").stat().st_mtime_ns > before


def test_interrupted_run_with_other_settings_is_refused(picture_folder, tmp_path, monkeypatch):
    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_transfer.training.fine_tune.prepared", killed)
    arguments = ["fit", picture_folder, "--output", tmp_path / "run", *QUICK]
    call(*arguments, fails=True)
    with pytest.raises(FileExistsError, match="interrupted training with.*'seed': 0"):
        call(*arguments, "--seed", "1")


@pytest.mark.parametrize(
    "options",
    [
        ["--strategy", "fine_tuning", "--blocks", "2"],
        ["--strategy", "fine_tuning", "--blocks", "block7a,top", "--batch-norm", "trainable"],
        ["--augmentation", "light", "--balanced", "--hidden", "8,4", "--pooling", "avgmax"],
        ["--early-stopping", "1", "--weights", "random", "--resize", "pad"],
    ],
)
def test_options_reach_the_training(picture_folder, tmp_path, options):
    call("fit", picture_folder, "--output", tmp_path / "run", *QUICK, *options)
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_options_out_of_range_stop_before_training(picture_folder, tmp_path):
    fit = ["fit", picture_folder, "--output", tmp_path / "run", *QUICK]
    with pytest.raises(ValueError, match="block7b"):
        call(*fit, "--strategy", "fine_tuning", "--blocks", "block7b")
    with pytest.raises(ValueError, match="nearest"):
        call(*fit, "--backbone", "resnet51")
    with pytest.raises(ValueError, match="data to evaluate on"):
        call(*fit, "--validation-split", "0")
    assert "Invalid value" in call(*fit, "--epochs", "0", fails=True).output


def test_unreadable_pictures_stop_or_are_skipped(picture_folder, tmp_path):
    (picture_folder / "dark" / "broken.png").write_bytes(b"")
    fit = ["fit", picture_folder, "--output", tmp_path / "run", *QUICK]
    with pytest.raises(kx.UnreadablePicturesError, match="broken.png: the file is empty"):
        call(*fit)
    assert not (tmp_path / "run").exists()
    assert "1unreadable" in "".join(call(*fit, "--on-error", "skip").output.split())


def test_evaluate_refuses_other_classes(run, picture_folder):
    (picture_folder / "dark").rename(picture_folder / "gloomy")
    with pytest.raises(ValueError, match="gloomy"):
        call("evaluate", run, picture_folder)


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="finished `keras-transfer fit`"):
        call("export", tmp_path, tmp_path / "models")


def test_backbones_are_listed_and_searched():
    lines = [line for line in call("backbones", "mobilenet").output.splitlines() if "://" in line]
    assert len(lines) == 4
    assert "efficientnet_lite0" in call("backbones").output


@pytest.mark.parametrize(
    "command", ["fit", "evaluate", "export", "verify", "predict", "backbones", "demo"]
)
def test_help_teaches(command):
    shown = call(command, "--help").output
    assert "Usage" in shown
    assert command == "demo" or f"keras-transfer {command}" in shown
