"""Requests while versions are swapped: how many fail, and whether any is answered by half a model.

`python -m benchmarks.serving_swaps [--requests 10000] [--concurrency 32] [--seconds 1.0]`: the
stand-in serves a small model whose versions differ by their bias, so that each answer tells which
version gave it; every second another version appears and the oldest goes, as `kx.export` publishes
them. An answer that is none of the versions' is one of a half-loaded model. Nothing is sent again.
Prints a table; the last line is JSON.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import json
import pathlib
import shutil
import tempfile
import threading
import time

import keras
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import keras_transfer as kx
from keras_transfer._atomic import publish, staging_folder
from keras_transfer.serving.stand_in.server import StandIn
from keras_transfer.serving.versions.numbers import versions

MADE = 8
PIXELS = np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)).astype("float32")


def make(folder: pathlib.Path) -> dict[int, float]:
    """Versions that differ, and the probability by which each is known."""
    pixels = keras.Input([8, 8, 3])
    model = kx.Classifier(keras.Model(pixels, keras.layers.Conv2D(4, 3)(pixels)), 2)
    known = {}
    for number in track(range(1, MADE + 1), "Exporting"):
        model.layers[-1].bias.assign([number / 4, 0])
        kx.export(model, folder, resize="pad")
        known[number] = float(keras.ops.softmax(model(PIXELS))[0, 0])
    return known


def swap(
    made: pathlib.Path, base_path: pathlib.Path, seconds: float, ended: threading.Event
) -> None:
    """Another version every so often; the two newest stay."""
    number = 1
    while not ended.wait(seconds):
        number += 1
        with staging_folder(base_path) as staging:
            shutil.copytree(made / str((number - 1) % MADE + 1), staging, dirs_exist_ok=True)
            publish(staging, base_path / str(number))
        for old in versions(base_path)[:-2]:
            trash = base_path / f".trash-{old}"
            (base_path / str(old)).rename(trash)
            shutil.rmtree(trash)


def main() -> None:
    """Asks until all requests are answered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder, "made")
        known = make(made)
        base_path = pathlib.Path(folder, "models", "small")
        shutil.copytree(made / "1", base_path / "1")
        figures = ask(made, base_path, known, arguments)
    table = Table(*figures)
    table.add_row(*map(str, figures.values()))
    Console(width=100).print(table)
    print(json.dumps({**vars(arguments), **figures}))


def ask(
    made: pathlib.Path,
    base_path: pathlib.Path,
    known: dict[int, float],
    arguments: argparse.Namespace,
) -> dict[str, float]:
    """What became of the requests."""
    ended, local = threading.Event(), threading.local()
    found: collections.Counter[str] = collections.Counter()
    seen: set[int] = set()

    def one(_: int) -> None:
        if not hasattr(local, "client"):
            local.client = kx.ServingClient(server.rest_url, retry=False)
        try:
            [row] = local.client.predict("small", {"pixels": PIXELS}, signature="pixels")[
                "probabilities"
            ]
        except kx.ServingError as error:
            found[f"failed: {error}"[:60]] += 1
            return
        by = [number for number, value in known.items() if abs(value - row[0]) < 1e-5]
        seen.update(by)
        found["answered" if by else "half_loaded"] += 1

    with StandIn(base_path.parent, rest_port=0, grpc_port=0, poll_seconds=0.1) as server:
        swapping = threading.Thread(
            target=swap, args=(made, base_path, arguments.seconds, ended), daemon=True
        )
        swapping.start()
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(arguments.concurrency) as threads:
            list(track(threads.map(one, range(arguments.requests)), total=arguments.requests))
        seconds = time.monotonic() - started
        ended.set()
        swapping.join()
        newest = versions(base_path)[-1]
        loaded = len(server.models.states("small"))
    failed = arguments.requests - found["answered"] - found["half_loaded"]
    for told in found:
        if told.startswith("failed"):
            print(told)
    return {
        "answered": found["answered"],
        "failed": failed,
        "half_loaded": found["half_loaded"],
        "versions_published": newest,
        "versions_loaded": loaded,
        "versions_that_answered": len(seen),
        "requests_a_second": round(arguments.requests / seconds, 1),
    }


if __name__ == "__main__":
    main()
