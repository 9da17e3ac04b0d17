"""What SIGKILL costs a search: ours beside KerasTuner's own, under the same schedule of kills.

`python -m benchmarks.search_kills [--kills 100] [--trials 12] [--epochs 24] [--life 3.0]`: searches
of short trials on scikit-learn's digits, one after the other from different seeds, until so many
kills are used up; each process lives for a random time, up to `--life` seconds, from its first
line on, and is then killed; the same command begins again. What each process did is read from a
log that it appends to: trials that were finished and are gone, or were run again; epochs that were
trained again; and whether the best is the one of an uninterrupted run. A search that does not go on
at all, since its files are broken, is "stuck". Prints a table; the last line is JSON.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import json
import multiprocessing
import os
import pathlib
import random
import signal
import sys
import tempfile
import traceback
from typing import Any

import keras
import keras_tuner
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

import keras_transfer as kx

OBJECTIVE = keras_tuner.Objective("val_accuracy", "max")
CASES = ("ours", "KerasTuner")


class Log:
    """Lines of JSON that are there as soon as they are written."""

    def __init__(self, path: pathlib.Path):
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def __deepcopy__(self, memo: Any) -> Log:
        """The same file."""
        return self

    def write(self, **line: Any) -> None:
        """Appends one."""
        os.write(self._file, (json.dumps(line) + "\n").encode())


class LogEpochs(keras.callbacks.Callback):
    """Tells of each epoch of the trial whose model was built last."""

    def __init__(self, log: Log, current: dict[str, str]):
        super().__init__()
        self.log, self.current = log, current

    def __deepcopy__(self, memo: Any) -> LogEpochs:
        """With the same trial."""
        return LogEpochs(self.log, self.current)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """One more."""
        self.log.write(event="epoch", trial=self.current["trial"], epoch=epoch)


def build(hp: keras_tuner.HyperParameters, current: dict[str, str]) -> keras.Model:
    """A small network, compiled."""
    width = hp.Choice("width", [16, 32, 64])
    rate = hp.Float("rate", 1e-4, 1e-2, sampling="log")
    dropout = hp.Float("dropout", 0.0, 0.5)
    current["trial"] = f"{width}-{rate:.8f}-{dropout:.8f}"
    layers = [keras.Input([8, 8, 3]), keras.layers.Flatten(), keras.layers.Rescaling(1 / 16)]
    layers += [keras.layers.Dense(width, "relu"), keras.layers.Dropout(dropout)]
    model = keras.Sequential([*layers, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def live(case: str, folder: pathlib.Path, seed: int, trials: int, epochs: int) -> None:
    """One process: makes the tuner, goes on with the search, tells of the best."""
    os.dup2(os.open(folder / "output.txt", os.O_CREAT | os.O_APPEND | os.O_WRONLY), 1)
    log, current = Log(folder / "log.jsonl"), {"trial": ""}
    log.write(event="life")
    try:
        pictures, labels = load_digits(return_X_y=True)
        data = kx.arrays(
            pictures.reshape(-1, 8, 8, 1).astype("uint8"), labels, validation_split=0.2, seed=0
        )
        keras.utils.set_random_seed(seed)
        oracle = keras_tuner.oracles.RandomSearchOracle(OBJECTIVE, max_trials=trials, seed=seed)
        made = functools.partial(build, current=current)
        where = {"directory": str(folder), "project_name": "search"}
        if case == "ours":
            tuner: Any = kx.TransferTuner(made, oracle=oracle, **where)
        else:
            tuner = keras_tuner.Tuner(oracle, made, **where)
        ended = tuner.on_trial_end

        def on_trial_end(trial: Any) -> None:
            ended(trial)
            if trial.status == "COMPLETED":
                log.write(event="finished", trial=_key(trial))

        tuner.on_trial_end = on_trial_end
        tuner.search(
            data.train,
            validation_data=data.validation,
            epochs=epochs,
            verbose=0,
            callbacks=[LogEpochs(log, current)],
        )
        known = [_key(x) for x in oracle.trials.values() if x.status == "COMPLETED"]
        [best] = oracle.get_best_trials(1)
        log.write(event="over", best=_key(best), score=best.score, known=known)
    except Exception:
        log.write(event="error", text=traceback.format_exc())
        sys.exit(1)


def _key(trial: Any) -> str:
    values = trial.hyperparameters.values
    return f"{values['width']}-{values['rate']:.8f}-{values['dropout']:.8f}"


@dataclasses.dataclass
class Life:
    """A process and the log it writes.

    Attributes:
        folder: of the search.
        size: trials and epochs.
    """

    case: str
    folder: pathlib.Path
    seed: int
    size: dict[str, int]

    def run(self, seconds: float | None) -> bool:
        """Lives until it is over or killed; whether it was killed."""
        # Forked: TensorFlow is imported and has run nothing yet.
        process = multiprocessing.get_context("fork").Process(
            target=live, args=(self.case, self.folder, self.seed), kwargs=self.size
        )
        process.start()
        process.join(seconds)
        if process.exitcode is not None:
            return False
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        return True

    def log(self) -> list[dict[str, Any]]:
        """What was written, without a last line that was cut."""
        path = self.folder / "log.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines if line.endswith("}")]


def search(case: str, seed: int, size: dict[str, int], lives: list[float]) -> dict[str, Any]:
    """One search; takes from `lives` what it is killed after, and the rest without a kill."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(case, pathlib.Path(folder), seed, size)
        kills, stuck = 0, False
        while True:
            seconds = lives.pop() if lives else None
            if life.run(seconds):
                kills += 1
                continue
            if seconds is not None:
                lives.append(seconds)
            last = life.log()[-1]
            if last["event"] == "over":
                break
            stuck = last["event"] == "error"
            if stuck:
                print(f"{case}, seed {seed}: stuck after {kills} kills\n{last['text']}")
            break
        return {"kills": kills, "stuck": stuck, **_found(life.log())}


def _found(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What the log tells: losses and repetitions."""
    finished: set[str] = set()
    again: set[str] = set()
    epochs: collections.Counter[tuple[str, int]] = collections.Counter()
    most = repeated = 0
    best: Any = None
    known: set[str] = set()
    for line in lines:
        if line["event"] == "life":
            most, repeated = max(most, repeated), 0
        elif line["event"] == "epoch":
            key = (line["trial"], line["epoch"])
            repeated += epochs[key] > 0
            epochs[key] += 1
            if line["trial"] in finished:
                again.add(line["trial"])
        elif line["event"] == "finished":
            finished.add(line["trial"])
        elif line["event"] == "over":
            best, known = [line["best"], line["score"]], set(line["known"])
    return {
        "finished": len(finished | known),
        "lost": len(finished - known),
        "run_again": len(again),
        "epochs": epochs.total(),
        "epochs_repeated": epochs.total() - len(epochs),
        "most_repeated_by_a_kill": max(most, repeated),
        "best": best,
    }


def searches(case: str, lives: list[float], size: dict[str, int]) -> dict[str, Any]:
    """Searches until the kills are used up, each compared with an uninterrupted one."""
    lives, found = list(lives), []
    while lives:
        seed = len(found) + 1  # KerasTuner takes 0 for none
        killed = search(case, seed, size, lives)
        whole = search(case, seed, size, [])
        found.append(killed | {"same_best": killed["best"] == whole["best"] is not None})
        print(f"{case}, seed {seed}: {found[-1]}", flush=True)
        if killed["stuck"]:
            break  # the same command would fail for ever
    names = ("kills", "finished", "lost", "run_again", "epochs", "epochs_repeated")
    return {name: sum(x[name] for x in found) for name in names} | {
        "searches": len(found),
        "most_repeated_by_a_kill": max(x["most_repeated_by_a_kill"] for x in found),
        "same_best": sum(x["same_best"] for x in found),
        "stuck": any(x["stuck"] for x in found),
    }


def main() -> None:
    """Kills both tuners by one schedule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--life", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draws = random.Random(arguments.seed)
    lives = [draws.uniform(0, arguments.life) for _ in range(arguments.kills)]
    size = {"trials": arguments.trials, "epochs": arguments.epochs}
    figures = {case: searches(case, lives, size) for case in CASES}
    rows = list(figures["ours"])
    table = Table("", *CASES, title=f"{arguments.kills} kills, {arguments.trials} trials a search")
    for row in rows:
        table.add_row(row.replace("_", " "), *(str(figures[case][row]) for case in CASES))
    Console(width=100).print(table)
    print(json.dumps({**vars(arguments), "figures": figures}))


if __name__ == "__main__":
    main()
