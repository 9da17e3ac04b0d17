"""A process that fills the cache is killed: nothing finished is lost, nothing wrong is found."""

from __future__ import annotations

import pathlib
import random
import subprocess
import sys
import time

import pytest

from keras_transfer.caching.shards import DamagedShardError, open_shard

ROWS, WIDTH = 2400, 6
# Finishes a shard every few batches, and writes down what it computes.
FILL = """
import sys, time
import keras, numpy as np
import keras_transfer as kx
from keras_transfer.caching import filling
folder, log, rows = sys.argv[1], open(sys.argv[2], "a"), int(sys.argv[3])
filling.SHARD_BYTES = 1500
class Writer(filling.ShardWriter):
    def add(self, digests, rows):
        time.sleep(0.01)
        for digest in digests:
            print(digest.hex(), file=log)
        log.flush()
        super().add(digests, rows)
filling.ShardWriter = Writer
frozen_part = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
dense = keras.layers.Dense(6)
frozen_part.add(dense)
dense.set_weights([np.arange(288.0).reshape(48, 6) / 288, np.ones(6)])
x = np.random.default_rng(0).integers(0, 255, (rows, 4, 4, 3), dtype="uint8")
numbers = np.arange(rows, dtype="float32")
data = kx.arrays(x, numbers, batch_size=8, validation_split=0.0).train
cache = kx.FeatureCache(folder)
print("ready", flush=True)
found = cache.open(frozen_part, verbose=False).find(data)
worst = 0.0
for features, numbers in found.dataset():
    flat = x[numbers.numpy().astype(int)].reshape(-1, 48).astype("float64")
    expected = flat @ (np.arange(288.0).reshape(48, 6) / 288) + 1
    worst = max(worst, np.abs(features - expected).max() / np.abs(expected).max())
print(found.rows, found.computed, worst)
"""


def start(folder: pathlib.Path, log: pathlib.Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FILL, str(folder), str(log), str(ROWS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def finished(folder: pathlib.Path) -> set[str]:
    """The examples in whole shards."""
    found = set()
    for path in folder.glob("*/[!.]*.features"):
        try:
            shard = open_shard(path, 4 * WIDTH)
            shard.verify()
        except DamagedShardError:
            pytest.fail(f"half a shard: {path}")
        found |= {row.tobytes().hex() for row in shard.digests}
    return found


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_fill_goes_on_after_the_last_finished_shard(tmp_path, kills):
    chance = random.Random(0)
    before: set[str] = set()
    for number in range(kills):
        log = tmp_path / f"{number}.log"
        process = start(tmp_path / "cache", log)
        time.sleep(chance.uniform(0.0, min(2.0, 7.0 / kills)))
        process.kill()
        process.wait()
        process.stdout.close()
        computed = log.read_text().split() if log.exists() else []
        assert not before & set(computed)
        before = finished(tmp_path / "cache")
    assert before
    process = start(tmp_path / "cache", tmp_path / "last.log")
    rows, computed, worst = process.communicate()[0].split()
    assert (int(rows), int(computed)) == (ROWS, ROWS - len(before))
    assert float(worst) < 1e-5
    assert not list((tmp_path / "cache").glob("*/.staging*"))


@pytest.mark.slow
def test_two_processes_fill_one_cache_together(tmp_path):
    processes = [start(tmp_path / "cache", tmp_path / f"{n}.log") for n in range(2)]
    told = [process.communicate()[0].split() for process in processes]
    computed = [int(computed) for _, computed, _ in told]
    assert sum(computed) == ROWS
    assert all(float(worst) < 1e-5 for _, _, worst in told)
