"""Finds rows of features in shards, and reads them inside a tf.data pipeline."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_transfer.caching.shards import (
    SHARDS,
    DamagedShardError,
    Shard,
    open_shard,
)

# Up to so many bytes are read at once and held in memory.
IN_MEMORY = 32_000_000


class Rows:
    """Which row of which shard belongs to each of some examples.

    Args:
        folder: of the entry.
        digests: 16 bytes for each example.
        row_bytes: int.

    Attributes:
        missing: bool array `(examples,)`: which have no row.
    """

    def __init__(self, folder: pathlib.Path, digests: Sequence[bytes], row_bytes: int):
        self.row_bytes = row_bytes
        self._shards: list[Shard] = []
        wanted = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)
        self._shard = np.full(len(wanted), -1)
        self._row = np.zeros(len(wanted), np.int64)
        # Newest first: there the last call has written what it computed.
        found = [(_modified(path), path) for path in folder.glob(SHARDS)]
        for _, path in sorted(found, reverse=True):
            if self.missing.any():
                self._add(path, wanted)

    @property
    def missing(self) -> np.ndarray:
        """See the class."""
        return self._shard < 0

    def _add(self, path: pathlib.Path, wanted: np.ndarray) -> None:
        """Takes what is wanted from one shard; removes it if it is damaged."""
        try:
            shard = open_shard(path, self.row_bytes)
            found, rows = _matches(wanted, shard.digests)
            found &= self.missing
            if not found.any():
                return
            shard.verify()
        except FileNotFoundError:
            return
        except DamagedShardError:
            path.unlink(missing_ok=True)
            return
        _touch(path)
        self._shard[found], self._row[found] = len(self._shards), rows[found]
        self._shards.append(shard)

    def reader(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function from numbers of examples `(batch,)` to rows `(batch, row_bytes)`.

        What is small is read now. What is large stays on the disk, and batches are read from it.
        """
        if self.in_memory:
            table = tf.constant(self._read(np.arange(len(self._shard))))
            return lambda numbers: tf.gather(table, numbers)

        def read(numbers: tf.Tensor) -> tf.Tensor:
            # In Python, once a batch: TensorFlow's op for mapped files, ImmutableConst, is folded
            # into graphs as a constant, whole files in memory.
            rows = tf.numpy_function(self._read, [numbers], tf.uint8, stateful=False)
            return tf.ensure_shape(rows, [None, self.row_bytes])

        return read

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        """Rows, from files that are mapped into memory for a moment.

        Pages that were read do not add up to all features, as they would in a mapping that stays.
        """
        shards, rows = self._shard[numbers], self._row[numbers]
        found = np.empty((len(numbers), self.row_bytes), np.uint8)
        for number in np.unique(shards):
            here = shards == number
            found[here] = self._shards[number].rows()[rows[here]]
        return found

    def close(self) -> None:
        """Lets others remove the shards; readers of what is large end here."""
        for shard in self._shards:
            shard.close()

    @property
    def in_memory(self) -> bool:
        """Whether the rows are held in memory."""
        return len(self._shard) * self.row_bytes <= IN_MEMORY


def _matches(wanted: np.ndarray, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each digest whether it is stored, and in which row."""
    order = np.argsort(stored[:, 0], kind="stable")
    places = np.searchsorted(stored[order, 0], wanted[:, 0])
    rows = order[np.minimum(places, len(order) - 1)]
    return (stored[rows] == wanted).all(axis=1), rows


def _modified(path: pathlib.Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _touch(path: pathlib.Path) -> None:
    """Notes that it was used, where the folder can be written."""
    with contextlib.suppress(OSError):
        os.utime(path)
