import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from keras_transfer.search.workers import processes as workers
from keras_transfer.search.workers.processes import run_workers

PROGRAM = pathlib.Path(__file__).with_name("worker_program.py")
# What every process of a made-up search does first.
PREPARED = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
name = os.environ["KERASTUNER_TUNER_ID"]
with open(folder / f"{name}.txt", "a") as file:
    file.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
starts = len((folder / f"{name}.txt").read_text().splitlines())
"""


def program(folder, script):
    return [sys.executable, "-c", PREPARED + script, str(folder)]


def starts(folder, name):
    return [line.split() for line in (folder / f"{name}.txt").read_text().splitlines()]


def is_there(process):
    return pathlib.Path(f"/proc/{process}").exists()


def all_ended(folder):
    files = folder.glob("*.txt")
    return not any(is_there(s[0]) for file in files for s in starts(folder, file.stem))


def test_a_killed_process_is_started_again(tmp_path):
    script = "if starts == 1: os.kill(os.getpid(), signal.SIGKILL)"
    run_workers(program(tmp_path, script), 2)
    assert [len(starts(tmp_path, name)) for name in ("worker0", "worker1")] == [2, 2]


def test_one_that_is_killed_again_and_again_ends_all(tmp_path):
    script = "os.kill(os.getpid(), signal.SIGKILL) if name == 'worker1' else time.sleep(60)"
    with pytest.raises(RuntimeError, match="worker1.*Received: signal 9"):
        run_workers(program(tmp_path, script), 2, restarts=2)
    assert len(starts(tmp_path, "worker1")) == 3
    assert all_ended(tmp_path)


def test_an_error_of_one_ends_all_at_once(tmp_path):
    script = "sys.exit(3) if name == 'worker0' else time.sleep(60)"
    with pytest.raises(RuntimeError, match="worker0.*Received: exit status 3"):
        run_workers(program(tmp_path, script), 2)
    assert len(starts(tmp_path, "worker0")) == 1
    assert all_ended(tmp_path)


def test_a_worker_that_comes_too_late_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_TO_END", 0.5)
    run_workers(program(tmp_path, "if name == 'worker1': time.sleep(60)"), 2)
    assert all_ended(tmp_path)


def test_a_chief_that_dies_when_all_was_told_is_not_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_TO_END", 0.5)
    script = """
if name == "chief":
    while not (folder / "worker0.txt").is_file(): time.sleep(0.01)
    time.sleep(60) if starts == 2 else os.kill(os.getpid(), signal.SIGKILL)
"""
    run_workers(program(tmp_path, script), 1)
    assert all_ended(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_all_end_with_the_process_that_has_started_them(tmp_path, number):
    script = """
from keras_transfer.search.workers.parent import end_with_parent
if sys.argv[2] != "2":
    end_with_parent()
(folder / f"{name}.ready").touch()
time.sleep(60)
"""
    # Ctrl-C has no effect in what a shell has started in the background, unless it is asked for.
    starter = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    starter += "from keras_transfer.search.workers.processes import run_workers; "
    command = [sys.executable, "-c", starter + "run_workers(sys.argv[1:], 1)"]
    command += [*program(tmp_path, script), str(int(number))]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as parent:
        wait_for(lambda: len(list(tmp_path.glob("*.ready"))) == 2)
        parent.send_signal(number)
    wait_for(lambda: all_ended(tmp_path))


@pytest.mark.parametrize(
    ("gpus", "expected"), [((), ["None"] * 3), (("0", "2"), ["0", "2", "0"])], ids=["none", "two"]
)
def test_each_worker_has_its_gpu_and_the_chief_none(tmp_path, monkeypatch, gpus, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    run_workers(program(tmp_path, ""), 3, gpus=gpus)
    names = [f"worker{number}" for number in range(3)]
    assert [starts(tmp_path, name)[0][1] for name in names] == expected
    assert starts(tmp_path, "chief")[0][1] == "-1"


def test_no_worker_is_refused():
    with pytest.raises(ValueError, match="at least 1 worker. Received: 0"):
        run_workers(["true"], 0)


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def lines(folder, name):
    path = folder / name
    return [x.split() for x in path.read_text().splitlines()] if path.is_file() else []


def kill(folder, name, epochs):
    """Kills a process when so many epochs were trained."""
    wait_for(lambda: len(lines(folder, "epochs.txt")) >= epochs, 120)
    number = next(x[1] for x in reversed(lines(folder, "processes.txt")) if x[0] == name)
    os.kill(int(number), signal.SIGKILL)


def searched(folder, trials, epochs, *, count=2, kills=(), wrong="nothing"):
    """Runs the search and gives its trials."""

    def kill_all():
        for name, at in kills:
            kill(folder, name, at)

    thread = threading.Thread(target=kill_all)
    thread.start()
    command = [sys.executable, str(PROGRAM), str(folder), str(trials), str(epochs), wrong]
    run_workers(command, count)
    thread.join()
    assert not any(is_there(x[1]) for x in lines(folder, "processes.txt"))
    text = (folder / "search" / "search.json").read_text().partition("\n")[2]
    return json.loads(text)


def check_all_finished_once(folder, state, trials, epochs, kills):
    assert [x["status"] for x in state["trials"].values()] == ["COMPLETED"] * trials
    ended = state["oracle"]["state"]["end_order"]
    assert sorted(ended) == sorted(state["trials"])
    trained = collections.Counter(tuple(x[1:]) for x in lines(folder, "epochs.txt"))
    assert len(trained) == trials * epochs
    # Only the epoch in which a worker was killed is trained again.
    assert sum(trained.values()) <= trials * epochs + kills
    best = lines(folder, "best.txt")
    assert {x[0] for x in best} >= {"chief", "worker0"}
    assert len({tuple(x[1:]) for x in best}) == 1


@pytest.mark.slow
def test_a_chief_may_be_killed(tmp_path):
    state = searched(tmp_path, 2, 3, count=1, kills=[("chief", 2)])
    check_all_finished_once(tmp_path, state, 2, 3, kills=0)


@pytest.mark.slow
def test_a_long_search_survives_many_kills(tmp_path):
    kills = [("worker0", 9), ("chief", 16), ("worker1", 22), ("chief", 30), ("worker0", 36)]
    state = searched(tmp_path, 12, 4, kills=kills)
    check_all_finished_once(tmp_path, state, 12, 4, kills=3)


@pytest.mark.slow
def test_errors_of_trials_are_kept_by_the_chief(tmp_path):
    state = searched(tmp_path, 6, 1, wrong="trial")
    failed = [x for x in state["trials"].values() if x["status"] == "FAILED"]
    assert 0 < len(failed) < 6
    assert all("ZeroDivisionError: of this test" in x["message"] for x in failed)


@pytest.mark.slow
def test_an_objective_that_is_not_there_ends_all_with_its_message(tmp_path, capfd):
    with pytest.raises(RuntimeError, match="exit status 1"):
        searched(tmp_path, 6, 1, wrong="objective")
    assert "objective 'val_f1' with metrics ['loss', 'val_loss']" in capfd.readouterr().err
    assert not any(is_there(x[1]) for x in lines(tmp_path, "processes.txt"))
