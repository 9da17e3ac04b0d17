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
import json
import multiprocessing
import os
import pathlib
import random
import signal
import tempfile
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.search_kills_run import live

CASES = ("ours", "KerasTuner")


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
