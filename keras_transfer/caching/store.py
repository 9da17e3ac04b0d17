"""The folder of a feature cache: an entry for each frozen part, and how large it may get."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
from collections.abc import Iterator

import filelock

from keras_transfer._atomic import write_text
from keras_transfer._keras_home import keras_home
from keras_transfer.caching.entries import (
    ABOUT,
    CacheEntry,
    by_age,
    describe,
    is_entry,
    read_about,
    remove_files,
)
from keras_transfer.caching.shards import SHARDS, remove_unused

_LOCK = ".lock"
# Seconds that another process may take to run a frozen part over its data.
_PATIENCE = 6 * 3600


class CacheTooSmallError(RuntimeError):
    """The features do not fit into the cache."""


class Store:
    """Shards in entries, bounded in size.

    Args:
        directory: path. Made when something is stored.
        max_bytes: int. Shards that were not used for longest are removed beyond it.
    """

    def __init__(self, directory: pathlib.Path, max_bytes: int):
        self.directory = directory
        self.max_bytes = max_bytes

    def entry(self, name: str, about: dict[str, object]) -> pathlib.Path:
        """The folder of an entry, made if it is not there.

        Raises:
            OSError: if it cannot be.
        """
        folder = self.directory / name
        folder.mkdir(parents=True, exist_ok=True)
        if read_about(folder) is None:
            write_text(folder / ABOUT, json.dumps(about, indent=1))
        return folder

    def lock(self, folder: pathlib.Path | None = None) -> filelock.FileLock:
        """A lock on an entry, or on the whole cache; free when its process is killed."""
        return filelock.FileLock((folder or self.directory) / _LOCK)

    @contextlib.contextmanager
    def waiting_lock(self, folder: pathlib.Path) -> Iterator[None]:
        """The lock on an entry; says so where another process has it.

        Raises:
            TimeoutError: (an OSError) if that takes hours.
        """
        lock = self.lock(folder)
        try:
            lock.acquire(timeout=1)
        except filelock.Timeout:
            print("Waiting for another process that runs the same frozen part.")
            lock.acquire(timeout=_PATIENCE)
        try:
            yield
        finally:
            lock.release()

    def check_size(self, num_bytes: int) -> None:
        """Checks, before anything is computed, that so much can fit.

        Raises:
            CacheTooSmallError: if the bound is below it.
            OSError: if the disk has no room.
        """
        if num_bytes > self.max_bytes:
            raise CacheTooSmallError(
                f"the features take {in_units(num_bytes)}, the cache is bound to "
                f"{in_units(self.max_bytes)}"
            )
        room = shutil.disk_usage(self.directory).free + self._total()
        if num_bytes > room:
            raise OSError(
                f"the features take {in_units(num_bytes)}, the disk has {in_units(room)} left"
            )

    def make_room(self, num_bytes: int) -> None:
        """Removes what was not used for longest until so much more fits.

        Raises:
            CacheTooSmallError: if what is left is in use.
        """
        with self.lock():
            excess = self._total() + num_bytes - self.max_bytes
            for _, path, size in self._by_last_use():
                if excess <= 0:
                    return
                if remove_unused(path):
                    excess -= size
        if excess > 0:
            raise CacheTooSmallError(
                f"what is in use leaves no room within {in_units(self.max_bytes)}"
            )

    def entries(self) -> list[CacheEntry]:
        """What is stored, that used last first."""
        found = [describe(folder) for folder in self.directory.glob("*") if is_entry(folder)]
        return sorted(found, key=lambda entry: entry.last_used, reverse=True)

    def remove(self, name: str) -> bool:
        """Removes an entry but for shards that are being read; whether all of it is gone.

        Raises:
            ValueError: if there is something of that name that is not an entry.
        """
        folder = self.directory / name
        inside = pathlib.PurePath(name).parts == (name,) and name != ".."
        if inside and not folder.exists():
            return True
        if not inside or not is_entry(folder):
            raise ValueError(f"Expected an entry's name in {self.directory}. Received: {name!r}.")
        try:
            with self.lock(folder).acquire(timeout=0):
                kept = [path for path in folder.glob(SHARDS) if not remove_unused(path)]
                if not kept:
                    remove_files(folder)
                return not kept
        except filelock.Timeout:
            return False

    def _total(self) -> int:
        return sum(size for _, _, size in self._by_last_use())

    def _by_last_use(self) -> list[tuple[float, pathlib.Path, int]]:
        return by_age(self.directory.glob(f"*/{SHARDS}"))


def default_directory() -> pathlib.Path:
    """The folder of the cache where no other is given, beside what Keras downloads."""
    return keras_home() / "keras_transfer" / "features"


def in_units(num_bytes: float) -> str:
    """Bytes as people read them."""
    for unit in ("bytes", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"
