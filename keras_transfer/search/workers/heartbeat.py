"""Signs of life of the workers of a search, as files that all processes of a machine see."""

from __future__ import annotations

import contextlib
import pathlib
import threading
import time
from collections.abc import Iterator

_EVERY = 1.0  # seconds


@contextlib.contextmanager
def beating(folder: pathlib.Path, worker: str) -> Iterator[None]:
    """Touches the worker's file every second within.

    Args:
        folder: of the search.
        worker: str, its name.
    """
    path = _path(folder, worker)
    path.parent.mkdir(exist_ok=True)
    over = threading.Event()

    def beat() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):  # the disk may be full
                path.touch()
            over.wait(_EVERY)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        path.unlink(missing_ok=True)


def was_alive(folder: pathlib.Path, worker: str, seconds: float) -> bool:
    """Whether a worker has given a sign of life in the last seconds, for who looks but once.

    Args:
        folder: of the search.
        worker: str, its name.
        seconds: float above 1.
    """
    try:
        return time.time() - _path(folder, worker).stat().st_mtime <= seconds
    except FileNotFoundError:
        return False


class Watch:
    """Knows how long workers have given no sign of life.

    By the clock of this process, which stands still while the machine sleeps: the times of files
    alone would tell of workers that sleep, too, that they are dead.

    Args:
        folder: of the search.
        seconds: float above 1, after which a worker is silent.
    """

    def __init__(self, folder: pathlib.Path, seconds: float):
        self._folder, self._seconds = folder, seconds
        self._seen: dict[str, tuple[int | None, float]] = {}

    def is_silent(self, worker: str) -> bool:
        """Whether a worker has given no sign since so long; counts from the first time asked."""
        try:
            beat = _path(self._folder, worker).stat().st_mtime_ns
        except FileNotFoundError:
            beat = None
        now = time.monotonic()
        known, since = self._seen.get(worker, (beat, now))
        if beat != known:
            since = now
        self._seen[worker] = beat, since
        return now - since > self._seconds


def _path(folder: pathlib.Path, worker: str) -> pathlib.Path:
    return folder / "workers" / f"{worker}.alive"
