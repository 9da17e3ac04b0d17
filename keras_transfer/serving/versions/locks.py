"""One process at a time publishes versions, or edits `models.config`."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

_PUBLISHING, _CONFIG = ".publishing.lock", ".models.config.lock"
_SECONDS_TO_WAIT = 60


def versions_lock(base_path: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """Within, nobody else adds or removes versions of a model.

    Raises:
        TimeoutError: if somebody else has been doing so for a minute.
    """
    return _alone(base_path / _PUBLISHING)


def config_lock(folder: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """Within, nobody else edits the `models.config` of a folder of models.

    Raises:
        TimeoutError: if somebody else has been doing so for a minute.
    """
    return _alone(folder / _CONFIG)


@contextlib.contextmanager
def _alone(path: pathlib.Path) -> Iterator[None]:
    """The lock of a process that was killed is free."""
    import filelock

    lock = filelock.FileLock(path, timeout=_SECONDS_TO_WAIT)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise TimeoutError(
            f"Expected to get {path} within {_SECONDS_TO_WAIT} seconds; end the process that "
            "holds it, or wait. Received: a lock that somebody else holds."
        ) from error
    try:
        yield
    finally:
        lock.release()
