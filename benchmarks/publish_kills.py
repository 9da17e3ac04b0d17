"""What a server can see while versions are published and removed under SIGKILL.

`python -m benchmarks.publish_kills [--versions 200] [--life 8.0]`: processes export a small model
again and again, keeping the three newest versions, and each is killed after a random time, until so
many versions were begun. Meanwhile a poller looks at the folder once a millisecond, as TF Serving
does once a second, and tries every integer folder that it sees: all files that a version has must
be there, of their whole sizes, and `saved_model.pb` must be readable. "plain" does the same by
`model.export` and `shutil.rmtree`, under the same schedule. Prints a table; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import tempfile
import threading
import time
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import keras_transfer as kx
from keras_transfer.serving.versions.numbers import versions

CASES = ("kx.export", "plain")
KEEP = 3


def model() -> keras.Model:
    """Small, so that much is published."""
    pixels = keras.Input([8, 8, 3])
    backbone = keras.Model(pixels, keras.layers.Conv2D(64, 3)(pixels))
    return kx.Classifier(backbone, ["cat", "dog"], hidden=[256])


def publish(case: str, base_path: pathlib.Path, begun: Any) -> None:
    """Publishes and removes until it is killed."""
    made = model()
    while True:
        with begun.get_lock():
            begun.value += 1
        if case == "kx.export":
            kx.export(made, base_path, resize="pad", keep=KEEP)
        else:
            made.export(str(base_path / str(begun.value)), verbose=False)
            for number in versions(base_path)[:-KEEP]:
                shutil.rmtree(base_path / str(number))


class Poller(threading.Thread):
    """Tries what it sees, as often as it can but once a millisecond.

    Args:
        base_path: the folder.
        sizes: of the files that every version has, as far as they are always the same.
    """

    def __init__(self, base_path: pathlib.Path, sizes: dict[str, int]):
        super().__init__(daemon=True)
        self.base_path, self.sizes = base_path, sizes
        self.looks, self.tries, self.broken = 0, 0, set()
        self.ended = threading.Event()

    def run(self) -> None:
        """Until it is told to end."""
        while not self.ended.wait(0.001):
            self.looks += 1
            for number in versions(self.base_path):
                self.tries += 1
                if not self._is_whole(self.base_path / str(number)):
                    self.broken.add(number)

    def _is_whole(self, version: pathlib.Path) -> bool:
        try:
            descriptor = os.open(version, os.O_RDONLY)
        except FileNotFoundError:
            return True  # it went as a whole since the look
        try:
            # By the descriptor: a version that is renamed meanwhile is still tried as a whole.
            return all(
                os.stat(name, dir_fd=descriptor).st_size >= size
                for name, size in self.sizes.items()
            )
        except FileNotFoundError:
            # A version that was seen by its number has to stay whole under it.
            return not version.exists()
        finally:
            os.close(descriptor)


def sizes_of(case: str) -> dict[str, int]:
    """Of a whole version's files: those that differ between versions need not be empty."""
    with tempfile.TemporaryDirectory() as folder:
        base_path = pathlib.Path(folder)
        if case == "kx.export":
            kx.export(model(), base_path, resize="pad")
        else:
            model().export(str(base_path / "1"), verbose=False)
        files = [path for path in (base_path / "1").rglob("*") if path.is_file()]
        return {str(x.relative_to(base_path / "1")): _least(x) for x in files}


def _least(path: pathlib.Path) -> int:
    return path.stat().st_size if path.name.startswith("variables.data") else 1


def case_figures(case: str, number: int, life: float, seed: int) -> dict[str, Any]:
    """Publishes so many versions, with kills."""
    draws = random.Random(seed)
    spawn = multiprocessing.get_context("spawn")
    begun, kills = spawn.Value("i", 0), 0
    sizes = sizes_of(case)
    with tempfile.TemporaryDirectory() as folder:
        base_path = pathlib.Path(folder, "model")
        base_path.mkdir()
        poller = Poller(base_path, sizes)
        poller.start()
        while begun.value < number:
            process = spawn.Process(target=publish, args=(case, base_path, begun))
            process.start()
            time.sleep(life + draws.uniform(0, life))
            process.kill()
            process.join()
            kills += 1
        poller.ended.set()
        poller.join()
        return {
            "begun": begun.value,
            "kills": kills,
            "looks": poller.looks,
            "tries": poller.tries,
            "versions_seen_broken": len(poller.broken),
            "left_visible": versions(base_path),
        }


def main() -> None:
    """Both by one schedule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=200)
    parser.add_argument("--life", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    np.random.seed(arguments.seed)
    figures = {
        case: case_figures(case, arguments.versions, arguments.life, arguments.seed)
        for case in CASES
    }
    table = Table("", *CASES, title=f"{arguments.versions} versions under kill -9")
    for row in next(iter(figures.values())):
        table.add_row(row.replace("_", " "), *(str(figures[case][row]) for case in CASES))
    Console(width=100).print(table)
    print(json.dumps({**vars(arguments), "figures": figures}))


if __name__ == "__main__":
    main()
