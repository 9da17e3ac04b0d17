"""Processes of a search end with the one that has started them, however it ends."""

from __future__ import annotations

import os
import signal
import threading
import time

# Names the process that has started this one.
PARENT = "KERAS_TRANSFER_PARENT"
_LOOK_EVERY = 0.5  # seconds


def end_with_parent() -> None:
    """From now on this process ends when the one that `PARENT` names does; else does nothing."""
    parent = os.environ.get(PARENT)
    if parent is not None:
        threading.Thread(target=_watch, args=[int(parent)], daemon=True).start()


def _watch(parent: int) -> None:
    while _is_there(parent):
        time.sleep(_LOOK_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)  # no signal, which only asks
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
