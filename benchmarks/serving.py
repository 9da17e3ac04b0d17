"""What an exported version costs: through TensorFlow's C API beside the Keras model itself.

`python -m benchmarks.serving [--batch-size 32] [--rounds 10] [--size 128]`: EfficientNet-Lite0
on the bundled Noto test pictures. "Keras" is what one would write instead of exporting, a
`tf.function` over the model, on pixels in this process; the version runs in a process of its own,
which has the C API and no TensorFlow for Python, on the same pixels and on the pictures' bytes.
They take turns, one batch after the other, and each turn's median counts. Prints a table; the last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import keras_transfer as kx
from benchmarks.serving_run import serve_turns
from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.resizing import resize_picture
from keras_transfer.serving.signatures.strings import as_strings
from keras_transfer.serving.verification.saved_graph import served_graph, signatures_of

WARM_UP_TURNS = 2


def main() -> None:
    """Takes turns and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batches", type=int, default=5, help="in a turn")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--size", type=int, default=128)
    arguments = parser.parse_args()
    size = (arguments.size, arguments.size)
    data = kx.emoji_styles("noto", image_size=size)
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*size, 3))
    model = kx.Classifier(backbone, data.class_names)
    with tempfile.TemporaryDirectory() as folder:
        version = kx.export(model, folder, resize=data.resize)
        files = sorted((kx.emoji_styles_folder("noto") / "test").rglob("*.png"))
        pictures = [file.read_bytes() for file in files[: arguments.batch_size]]
        found = measure(model, version, pictures, size, data.resize, arguments)
    show(found)
    ratios = {
        "version_by_keras": found["version, pixels"] / found["Keras, pixels"],
        "cost_of_bytes": found["version, pixels"] / found["version, bytes"] - 1,
    }
    print(json.dumps({**vars(arguments), "pictures_a_second": found, **ratios}))


def measure(
    model: keras.Model,
    version: pathlib.Path,
    pictures: list[bytes],
    size: tuple[int, int],
    resize: Any,
    arguments: argparse.Namespace,
) -> dict[str, float]:
    """Pictures a second, the median over rounds."""
    pixels = tf.stack([resize_picture(decode_picture(x), size, resize) for x in pictures])
    bare = tf.function(lambda x: keras.ops.softmax(model(x, training=False)))
    signatures = signatures_of(served_graph(version))
    requests = {
        "version, pixels": _request(signatures["pixels"], pixels.numpy()),
        "version, bytes": _request(signatures["serving_default"], as_strings(pictures)),
    }
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    task = (str(version), requests, arguments.batches, there)
    process = spawn.Process(target=serve_turns, args=task)
    process.start()

    def keras_turn() -> float:
        started = time.perf_counter()
        for _ in range(arguments.batches):
            bare(pixels).numpy()
        return time.perf_counter() - started

    def version_turn(case: str) -> float:
        here.send(case)
        seconds: float = here.recv()
        return seconds

    turns: dict[str, Callable[[], float]] = {"Keras, pixels": keras_turn}
    turns |= {case: lambda case=case: version_turn(case) for case in requests}
    seconds: dict[str, list[float]] = {case: [] for case in turns}
    for _ in range(WARM_UP_TURNS + arguments.rounds):
        for case, turn in turns.items():
            seconds[case].append(turn())
    here.send(None)
    process.join()
    count = arguments.batches * len(pictures)
    return {
        case: count / statistics.median(found[WARM_UP_TURNS:]) for case, found in seconds.items()
    }


def _request(signature: Any, value: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]]:
    [tensor] = signature.inputs.values()
    return {tensor.name: value}, [x.name for x in signature.outputs.values()]


def show(found: dict[str, float]) -> None:
    """A table for people."""
    table = Table("", "pictures a second", "of Keras")
    for case, speed in found.items():
        table.add_row(case, f"{speed:.0f}", f"{speed / found['Keras, pixels']:.2f}")
    Console(width=80).print(table)


if __name__ == "__main__":
    main()
