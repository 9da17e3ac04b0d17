"""The installed command in a process of its own: errors, kills, full disks."""

from __future__ import annotations

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import pytest

import keras_transfer as kx

COMMAND = [sys.executable, "-c", "from keras_transfer.cli import main; main()"]


def run(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options
    )


def test_version_is_printed_without_loading_tensorflow():
    code = COMMAND[2].replace("main()", "sys.argv = ['x', '--version']; main()")
    code = (
        f"import atexit, sys; atexit.register(lambda: print('tensorflow' in sys.modules)); {code}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == [kx.__version__, "False"]


def test_error_is_one_message_without_a_traceback(tmp_path):
    done = run("fit", tmp_path / "nowhere", "-o", tmp_path / "run")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Expected a folder of pictures.")
    assert "Traceback" not in done.stderr
    shown = run("verify", tmp_path / "1", env={**os.environ, "KERAS_TRANSFER_DEBUG": "1"})
    assert "Traceback" in shown.stderr


def fit_arguments(folder, output, epochs):
    return [
        *("fit", folder, "--output", output, "--epochs", epochs, "--image-size", 32),
        *("--strategy", "fine_tuning", "--blocks", 1, "--batch-size", 8, "--dropout", 0.5),
        *("--learning-rate", 3e-3),
    ]


def epochs_done(output: pathlib.Path) -> int:
    names = [path.name for path in (output / ".training" / "checkpoints").glob("epoch-*")]
    return max((int(name.split("-")[-1]) for name in names), default=0)


@pytest.mark.slow
def test_sigkill_in_the_middle_of_training_loses_at_most_an_epoch(picture_folder, tmp_path):
    output = tmp_path / "run"
    arguments = [*COMMAND, *map(str, fit_arguments(picture_folder, output, 25))]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while epochs_done(output) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = epochs_done(output)
    assert 3 <= done < 25
    assert not (output / "metrics.json").exists()
    again = run(*fit_arguments(picture_folder, output, 25))
    assert again.returncode == 0, again.stderr
    assert f"Going on after epoch {done} of 25" in again.stdout
    assert len((output / "history.csv").read_text().splitlines()) == 26
    assert json.loads((output / "metrics.json").read_text())["accuracy"] >= 0.75
    assert not (output / ".training").exists()


@pytest.mark.slow
def test_output_that_cannot_be_written_stops_before_training(picture_folder, tmp_path):
    (tmp_path / "file").write_text("")
    done = run(*fit_arguments(picture_folder, tmp_path / "file" / "run", 1))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "Epoch" not in done.stdout


def test_full_disk_is_one_clear_error_and_leaves_nothing_half_written(picture_folder, tmp_path):
    def limit():  # no file over a megabyte, as on a disk with that much room
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = run(*fit_arguments(picture_folder, tmp_path / "run", 2), preexec_fn=limit)
    assert done.returncode == 1, done.stderr
    assert "Error: Expected room and permission for a checkpoint" in done.stderr
    assert list((tmp_path / "run" / ".training" / "checkpoints").iterdir()) == []
    assert not (tmp_path / "run" / "metrics.json").exists()
