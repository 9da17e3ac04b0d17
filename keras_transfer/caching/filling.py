"""Computes the features that are missing, and writes them shard by shard."""

from __future__ import annotations

import collections
import concurrent.futures
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_transfer.caching.layout import Layout
from keras_transfer.caching.runner import Runner
from keras_transfer.caching.shards import ShardWriter, remove_unfinished

# A shard is finished after so many bytes or seconds: no kill costs more work than that.
SHARD_BYTES = 64_000_000
SHARD_SECONDS = 15.0
_AT_ONCE = 2


def fill(
    folder: pathlib.Path,
    run: Runner,
    layout: Layout,
    batches: Iterable[tuple[tf.Tensor, Any]],
    digests: list[bytes],
    make_room: Callable[[int], None],
) -> None:
    """Runs the frozen part over batches; the caller holds the lock of the folder.

    Args:
        folder: of the entry.
        run: the frozen part.
        layout: of its rows.
        batches: of numbers and pictures.
        digests: by number.
        make_room: called with the size of each shard before it appears.
    """
    remove_unfinished(folder)
    with _Shards(folder, layout.row_bytes, make_room) as shards:
        for numbers, features in _computed(run, batches):
            shards.add([digests[number] for number in numbers], layout.pack(features))


def _computed(
    run: Runner, batches: Iterable[tuple[tf.Tensor, Any]]
) -> Iterator[tuple[np.ndarray, list[tf.Tensor]]]:
    """Features of the batches in order, two of them on the way: small ops leave cores idle."""
    done: set[int] = set()
    waiting: collections.deque[tuple[np.ndarray, Any]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        for numbers, pictures in batches:
            numbers, pictures = _fresh(numbers.numpy(), pictures, done)
            if len(numbers):
                waiting.append((numbers, pool.submit(run, pictures)))
            if len(waiting) > _AT_ONCE:
                numbers, features = waiting.popleft()
                yield numbers, features.result()
        for numbers, features in waiting:
            yield numbers, features.result()


def _fresh(numbers: np.ndarray, pictures: Any, done: set[int]) -> tuple[np.ndarray, Any]:
    """Leaves out examples that have come before."""
    keep = [
        place
        for place, number in enumerate(numbers.tolist())
        if number not in done and not done.add(number)  # type: ignore[func-returns-value]
    ]
    if len(keep) == len(numbers):
        return numbers, pictures
    places = np.array(keep, np.int64)
    return numbers[places], tf.nest.map_structure(lambda part: tf.gather(part, places), pictures)


class _Shards:
    """Writes rows into one shard after another."""

    def __init__(self, folder: pathlib.Path, row_bytes: int, make_room: Callable[[int], None]):
        self._folder, self._row_bytes, self._make_room = folder, row_bytes, make_room
        self._writer: ShardWriter | None = None
        self._started = 0.0

    def add(self, digests: list[bytes], rows: np.ndarray) -> None:
        """Adds rows; finishes the shard when it is large or old enough."""
        if self._writer is None:
            self._writer = ShardWriter(self._folder, self._row_bytes)
            self._started = time.monotonic()
        self._writer.add(digests, rows)
        old = time.monotonic() - self._started > SHARD_SECONDS
        if old or self._writer.size >= SHARD_BYTES:
            self._finish()

    def _finish(self) -> None:
        if self._writer is not None:
            self._make_room(self._writer.size)
            self._writer.publish()
            self._writer = None

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        try:
            if kind is None or kind is KeyboardInterrupt:
                self._finish()
        finally:
            if self._writer is not None:
                self._writer.discard()
