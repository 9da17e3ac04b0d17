"""`keras-transfer search` as a user would call it, on small pictures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from keras_transfer.cli import app
from keras_transfer.cli.searching import _locked
from keras_transfer.search.record.records import read_search

COMMAND = [sys.executable, "-c", "from keras_transfer.cli import main; main()"]
QUICK = [
    *("--image-size", "32", "--batch-size", "8", "--epochs", "1"),
    *("--strategy", "feature_extraction"),
]


def call(*arguments, fails=False):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=fails)
    assert (result.exit_code != 0) == fails, result.output
    return result.output


@pytest.fixture(scope="module")
def searched(shared_picture_folder, tmp_path_factory):
    """A finished search, and what it printed."""
    folder = tmp_path_factory.mktemp("searches") / "run"
    arguments = ["search", shared_picture_folder, "-o", folder, *QUICK]
    return arguments, folder, call(*arguments, "--trials", "2")


def test_the_run_folder_holds_everything(searched):
    _, folder, said = searched
    names = {path.name for path in folder.iterdir()}
    assert {"search.json", "settings.json", "report.html", "tensorboard"} <= names
    search = read_search(folder)
    assert [trial.status for trial in search.trials] == ["finished"] * 2
    assert {path.parent.name for path in folder.glob("trial_*/weights.npz")} == {
        "trial_0",
        "trial_1",
    }
    assert "Trial 1 (2 of 2): val_accuracy" in said
    assert "report.html" in said
    assert json.loads((folder / "settings.json").read_text())["strategy"] == ["feature_extraction"]
    assert any((folder / "tensorboard" / "0").glob("events.*"))


def test_the_same_command_goes_on_and_another_is_refused(searched):
    arguments, folder, _ = searched
    before = read_search(folder).trials
    said = call(*arguments, "--trials", "3", "--keep", "1")
    assert "2 trials had ended in an earlier run." in said
    trials = read_search(folder).trials
    assert trials[:2] == before
    assert len(trials) == 3
    with pytest.raises(FileExistsError, match="epochs was 1 and is 2; seed was 0 and is 7"):
        call(*arguments, "--seed", "7", "--epochs", "2")
    assert read_search(folder).trials == trials
    with _locked(folder), pytest.raises(RuntimeError, match="nobody is running"):
        call(*arguments, "--trials", "3")


def test_show_prints_the_trials_the_best_first(searched, tmp_path):
    _, folder, _ = searched
    shown = call("search", "show", folder, "--html", tmp_path / "report.html")
    best = read_search(folder).ranked[0]
    rows = [line for line in shown.splitlines() if "finished" in line]
    assert rows[0].split()[1] == best.name
    assert f"{best.score:.4g}" in rows[0]
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (
        sum("finished" in x for x in call("search", "show", folder, "--top", 1).splitlines()) == 1
    )


@pytest.mark.slow
def test_the_best_is_trained_again_tested_and_exported(searched, tmp_path):
    _, folder, _ = searched
    said = call("search", "export", folder, tmp_path / "model", "--retrain")
    assert f"{tmp_path / 'model' / '1'}: trained from {folder / 'best.json'}." in said
    best = json.loads((folder / "best.json").read_text())
    assert best["trial"] == read_search(folder).ranked[0].name
    assert best["retrained"]
    assert (tmp_path / "model" / "1" / "saved_model.pb").is_file()


def test_only_a_search_is_exported(tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder of a search"):
        call("search", "export", tmp_path / "run", tmp_path / "model")


@pytest.mark.parametrize("arguments", [["search"], ["search", "--help"], ["search", "run", "-h"]])
def test_help_teaches_both_commands(arguments):
    said = " ".join(call(*arguments).replace("│", " ").split())
    assert "--oracle" in said
    assert "keras-transfer search show RUN" in said
    assert "--html" in call("search", "show", "--help")


def test_folders_of_something_else_stay_as_they_are(shared_picture_folder, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for more in ([], ["--overwrite"]):
        with pytest.raises(FileExistsError, match="something else"):
            call("search", shared_picture_folder, "-o", tmp_path, *QUICK, *more)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(FileNotFoundError, match=r"search\.json"):
        call("search", "show", tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--oracle hyperband --trials 9", "without --trials"),
        ("--validation-split 0", "validation data"),
        ("--strategy frozen", "feature_extraction.*frozen"),
        ("--hours 0", "hours"),
    ],
)
def test_options_that_do_not_fit_are_told(shared_picture_folder, tmp_path, options, words):
    arguments = ["search", shared_picture_folder, "-o", tmp_path / "run", *QUICK]
    for changed in ([], ["--seed", "1"]):  # nothing was begun, so that it may change
        with pytest.raises(ValueError, match=words):
            call(*arguments, *options.split(), *changed)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_kill_in_the_middle_loses_nothing(picture_folder, tmp_path, workers):
    folder = tmp_path / "run"
    options = ["--trials", "4", "--workers", workers]
    command = [*COMMAND, "search", picture_folder, "-o", folder, *QUICK, *options]
    command = [str(part) for part in command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
        if (folder / "search.json").is_file() and len(read_search(folder).ranked) >= 1:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = read_search(folder).ranked
    assert 1 <= len(before) < 4
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    trials = read_search(folder).trials
    assert [trial.status for trial in trials] == ["finished"] * 4
    assert all(trial in trials for trial in before)
