"""The folder of a feature cache: an entry for each frozen part, and how large it may get."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import shutil

import filelock

from keras_transfer._atomic import write_text
from keras_transfer.caching.shards import SUFFIX, remove_unused

_ABOUT = "about.json"
_LOCK = ".lock"


class CacheTooSmallError(RuntimeError):
    """The features do not fit into the cache."""


@dataclasses.dataclass(frozen=True)
class CacheEntry:
    """What a cache holds of one frozen part.

    Attributes:
        name: str, of its folder: a digest of weights, graph, dtype and versions.
        model: str, the name of the model that the frozen part is from.
        shapes: list of str, of its outputs, such as "float32 (1280,)".
        rows: int, how many pictures or views of pictures.
        num_bytes: int, on the disk.
        last_used: datetime.datetime, of the local time zone.
    """

    name: str
    model: str
    shapes: list[str]
    rows: int
    num_bytes: int
    last_used: datetime.datetime


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
        if not (folder / _ABOUT).is_file():
            write_text(folder / _ABOUT, json.dumps(about, indent=1))
        return folder

    def lock(self, folder: pathlib.Path | None = None) -> filelock.FileLock:
        """A lock on an entry, or on the whole cache; free when its process is killed."""
        return filelock.FileLock((folder or self.directory) / _LOCK)

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
            for path, size in self._by_last_use():
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
        found = [_describe(path.parent) for path in self.directory.glob(f"*/{_ABOUT}")]
        return sorted(found, key=lambda entry: entry.last_used, reverse=True)

    def remove(self, name: str) -> bool:
        """Removes an entry but for shards that are being read; whether all of it is gone."""
        folder = self.directory / name
        try:
            with self.lock(folder).acquire(timeout=0):
                kept = [p for p in folder.glob(f"[!.]*{SUFFIX}") if not remove_unused(p)]
                if not kept:
                    shutil.rmtree(folder, ignore_errors=True)
                return not kept
        except filelock.Timeout:
            return False

    def _total(self) -> int:
        return sum(size for _, size in self._by_last_use())

    def _by_last_use(self) -> list[tuple[pathlib.Path, int]]:
        found = []
        for path in self.directory.glob(f"*/[!.]*{SUFFIX}"):
            try:
                state = path.stat()
            except FileNotFoundError:  # another process was faster
                continue
            found.append((state.st_mtime, path, state.st_size))
        return [(path, size) for _, path, size in sorted(found)]


def in_units(num_bytes: float) -> str:
    """Bytes as people read them."""
    for unit in ("bytes", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"


def _describe(folder: pathlib.Path) -> CacheEntry:
    about = json.loads((folder / _ABOUT).read_text())
    states = [path.stat() for path in folder.glob(f"[!.]*{SUFFIX}")]
    used = max([state.st_mtime for state in states], default=folder.stat().st_mtime)
    size = sum(state.st_size for state in states)
    return CacheEntry(
        name=folder.name,
        model=about["model"],
        shapes=about["shapes"],
        rows=size // about["row_bytes"],
        num_bytes=size,
        last_used=datetime.datetime.fromtimestamp(used).astimezone(),
    )
