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


def is_silent(folder: pathlib.Path, worker: str, seconds: float) -> bool:
    """Whether a worker has given no sign of life for so long.

    Args:
        folder: of the search.
        worker: str, its name.
        seconds: float above 1.
    """
    try:
        return time.time() - _path(folder, worker).stat().st_mtime > seconds
    except FileNotFoundError:
        return True


def _path(folder: pathlib.Path, worker: str) -> pathlib.Path:
    return folder / "workers" / f"{worker}.alive"
