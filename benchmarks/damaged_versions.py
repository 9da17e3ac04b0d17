"""What notices a damaged version: its manifest, the server's load and warm-up, Keras's answers.

`python -m benchmarks.damaged_versions [--flips 4] [--size 64]`: every file of a version of
EfficientNet-Lite0 is deleted, cut to half, and given flipped bits at random places, one damage at a
time. "load and warm-up" is what TF Serving does before it serves a version: an error is needed for
it to notice. "answers" compares them, too, with those that Keras gave, which lie beside the warm-up
requests. Prints a table; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import shutil
import tempfile

from rich.console import Console
from rich.progress import track
from rich.table import Table

import keras_transfer as kx
from keras_transfer.serving.c_api.engine import Engine
from keras_transfer.serving.stand_in.served_versions import AVAILABLE, ServedVersion
from keras_transfer.serving.verification.verify import verify_unpublished
from keras_transfer.serving.versions.manifest import manifest_problems

ONCE, FLIPPED = ("deleted", "cut to half"), "bit flipped"


def damage(file: pathlib.Path, how: str, draws: random.Random) -> None:
    """Deletes it, cuts it to half, or flips one of its bits."""
    data = bytearray(file.read_bytes())
    file.unlink()
    if how == FLIPPED:
        data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
    if how != ONCE[0]:
        file.write_bytes(data[: len(data) // 2] if how == ONCE[1] else data)


def noticed(version: pathlib.Path) -> dict[str, bool]:
    """By what a version is found to be damaged."""
    return {
        "manifest": bool(manifest_problems(version)),
        "load and warm-up": not _loads(version),
        "answers": _answers_differ(version),
    }


def _loads(version: pathlib.Path) -> bool:
    served = ServedVersion("model", int(version.name), version)
    with Engine() as engine:
        served.load(engine)
        return served.state == AVAILABLE


def _answers_differ(version: pathlib.Path) -> bool:
    try:
        list(verify_unpublished(version))
    except (ValueError, RuntimeError, OSError):
        return True
    return False


def main() -> None:
    """Damages every file in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=4, help="of one bit each, in every file")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = (arguments.size, arguments.size, 3)
        model = kx.Classifier(kx.load_backbone("efficientnet_lite0", input_shape=size), 8)
        version = kx.export(model, pathlib.Path(folder, "whole"), resize="pad")
        if not all(not found for found in noticed(version).values()):
            raise SystemExit("The whole version is found to be damaged.")
        figures = damage_all(version, pathlib.Path(folder, "damaged", version.name), arguments)
    show(figures)
    print(json.dumps({**vars(arguments), "noticed": figures}))


def damage_all(
    version: pathlib.Path, damaged: pathlib.Path, arguments: argparse.Namespace
) -> dict[str, dict[str, dict[str, int]]]:
    """By file and damage: how many there were, and how many each has noticed."""
    files = sorted(path.relative_to(version) for path in version.rglob("*") if path.is_file())
    cases = [(x, how) for x in files for how in [*ONCE, *[FLIPPED] * arguments.flips]]
    draws = random.Random(arguments.seed)
    figures: dict[str, dict[str, dict[str, int]]] = {}
    for file, how in track(cases, "Damaging"):
        shutil.copytree(version, damaged)
        damage(damaged / file, how, draws)
        counts = figures.setdefault(str(file), {}).setdefault(how, {"damages": 0})
        counts["damages"] += 1
        for by, found in noticed(damaged).items():
            counts[by] = counts.get(by, 0) + found
        shutil.rmtree(damaged)
    return figures


def show(figures: dict[str, dict[str, dict[str, int]]]) -> None:
    """A table for people."""
    names = list(next(iter(next(iter(figures.values())).values())))
    table = Table("file", "damage", *names)
    total = dict.fromkeys(names, 0)
    for file, of_file in figures.items():
        for how, counts in of_file.items():
            table.add_row(file, how, *(str(counts[name]) for name in names))
            total = {name: total[name] + counts[name] for name in names}
    table.add_section()
    table.add_row("all", "", *(f"{total[name]}" for name in names))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
