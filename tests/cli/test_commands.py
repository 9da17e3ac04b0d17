"""Each command as a user would call it, on a folder of small pictures."""

from __future__ import annotations

import json
import shutil

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


@pytest.fixture(scope="module")
def trained(shared_picture_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "run"
    call("fit", shared_picture_folder, "--output", output, "--test-split", "0.2", *QUICK)
    return output


@pytest.fixture(scope="module")
def version(trained, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    call("export", trained, models)
    return models / "1"


@pytest.fixture
def run(trained, tmp_path):
    """A run folder that the test may change."""
    return shutil.copytree(trained, tmp_path / "run")


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


def test_export_verify_predict_and_evaluate_agree(run, version, picture_folder, tmp_path):
    assert "is what was exported" in call("verify", version).output
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


def test_predict_names_unreadable_pictures_and_answers_for_the_others(version, tmp_path, encode):
    (tmp_path / "good.png").write_bytes(encode(np.zeros([9, 9, 3], np.uint8)))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    result = call("predict", version, tmp_path / "bad.png", tmp_path / "good.png", fails=True)
    shown = " ".join(result.output.replace("│", " ").split())
    assert "not a JPEG" in shown
    assert "bright" in shown or "dark" in shown


def test_predict_tells_that_a_version_is_damaged(version, tmp_path, encode):
    (tmp_path / "a.png").write_bytes(encode(np.zeros([9, 9, 3], np.uint8)))
    damaged = shutil.copytree(version, tmp_path / "1")
    (damaged / "saved_model.pb").write_bytes(b"nothing")
    result = call("predict", damaged, tmp_path / "a.png", fails=True)
    assert isinstance(result.exception, kx.VerificationError)  # which `main` prints in one line
    assert "saved_model.pb is damaged" in str(result.exception)


def test_finished_run_is_not_overwritten_unless_told(run, picture_folder):
    before = (run / "metrics.json").stat().st_mtime_ns
    with pytest.raises(FileExistsError, match="--overwrite.*finished training"):
        call("fit", picture_folder, "--output", run, *QUICK)
    assert (run / "metrics.json").stat().st_mtime_ns == before
    call("fit", picture_folder, "--output", run, "--overwrite", *QUICK)
    assert (run / "metrics.json").stat().st_mtime_ns > before


def test_interrupted_run_with_other_settings_is_refused(picture_folder, tmp_path, monkeypatch):
    arguments = ["fit", picture_folder, "--output", tmp_path / "run", *QUICK]
    with monkeypatch.context() as patch:  # after training, before the results are written
        patch.setattr("keras_transfer.runs.finish_run", lambda *_: 1 / 0)
        call(*arguments, fails=True)
    with pytest.raises(FileExistsError, match="interrupted training with.*'seed': 0"):
        call(*arguments, "--seed", "1")


FINE_TUNING = {"blocks": ["block7a", "top"], "first": None, "batch_norm": "trainable"}


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (
            "--strategy fine_tuning --blocks 2",
            {"strategy": {"blocks": 2, "first": None, "batch_norm": "frozen"}},
        ),
        pytest.param(
            "--strategy fine_tuning --blocks block7a,top --batch-norm trainable",
            {"strategy": FINE_TUNING},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "--augmentation light --balanced --hidden 8,4 --pooling avgmax",
            {
                "augmentation": "augmentation_light",
                "class_weight": "balanced",
                "head": ["average_pooling", "max_pooling", "pooling", "hidden_1", "hidden_2"],
            },
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "--early-stopping 1 --resize pad",
            {"early_stopping": 1, "resize": "pad"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_options_reach_the_training(picture_folder, tmp_path, monkeypatch, options, changed):
    seen, fine_tune = {}, kx.fine_tune

    def spy(model, train, *args, **kwargs):
        names = [layer.name for layer in model.layers]
        seen.update(
            strategy=kwargs["strategy"].get_config(),
            head=[name for name in names if "pool" in name or "hidden" in name],
            class_weight=kwargs["class_weight"],
            augmentation=getattr(kwargs.get("augmentation"), "name", None),
            early_stopping=kwargs["early_stopping"],
            resize=train.resize,
        )
        return fine_tune(model, train, *args, **kwargs)

    monkeypatch.setattr(kx, "fine_tune", spy)
    call("fit", picture_folder, "--output", tmp_path / "run", *QUICK, *options.split())
    assert seen == {
        "strategy": {},
        "head": ["average_pooling"],
        "class_weight": None,
        "augmentation": None,
        "early_stopping": None,
        "resize": "stretch",
        **changed,
    }


def test_options_out_of_range_stop_before_training(picture_folder, tmp_path):
    fit = ["fit", picture_folder, "--output", tmp_path / "run", *QUICK]
    with pytest.raises(ValueError, match="block7b"):
        call(*fit, "--strategy", "fine_tuning", "--blocks", "block7b")
    with pytest.raises(ValueError, match="nearest"):
        call(*fit, "--backbone", "resnet51")
    with pytest.raises(ValueError, match="--strategy fine_tuning alone"):
        call(*fit, "--blocks", "2")
    with pytest.raises(ValueError, match="Received: '8,x'"):
        call(*fit, "--hidden", "8,x")
    with pytest.raises(ValueError, match="data to evaluate on"):
        call(*fit, "--validation-split", "0")
    assert "Invalid value" in call(*fit, "--epochs", "0", fails=True).output
    call(*fit, "--strategy", "fine_tuning", "--blocks", "block7a")  # the folder is not locked


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


def test_run_inside_the_data_folder_goes_on_after_a_kill(picture_folder):
    from keras_transfer.cli.data import fingerprint

    before = fingerprint(str(picture_folder))
    (picture_folder / "run" / ".training").mkdir(parents=True)
    (picture_folder / "run" / ".training" / "state.png").write_bytes(b"x")
    (picture_folder / "dark" / ".DS_Store").write_bytes(b"x")
    assert fingerprint(str(picture_folder)) == before
    (picture_folder / "dark" / "0.png").unlink()
    assert fingerprint(str(picture_folder)) != before


def test_every_picture_is_evaluated_on_request(run, picture_folder, tmp_path):
    call("evaluate", run, picture_folder, "--part", "all", "--output", tmp_path / "all")
    assert json.loads((tmp_path / "all" / "metrics.json").read_text())["num_examples"] == 20


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
