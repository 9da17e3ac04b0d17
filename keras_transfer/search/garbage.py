"""Garbage collection that does not go through what was there before."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def quick_collections() -> Iterator[None]:
    """Within, collections leave alone what is there already.

    KerasTuner collects before each trial, and tracing makes Python do so; each time a third of a
    second goes by for the objects that TensorFlow has at its import. A program that has frozen
    objects itself has done so already, and they stay so.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
