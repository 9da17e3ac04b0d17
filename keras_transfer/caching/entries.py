"""The entries of a feature cache: one for each frozen part, with a description for people."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import pathlib
import re
from collections.abc import Iterable
from typing import Any

from keras_transfer.caching.shards import SHARDS, rows_in

ABOUT = "about.json"
# What an entry is told by where its description is damaged: its name, and nothing else inside.
_NAME = re.compile("[0-9a-f]{24}")
_FILES = re.compile(r"about\.json|\.lock|(\w{32}|\.staging-\w{8})\.features|\.\w{8}\.json")


@dataclasses.dataclass(frozen=True)
class CacheEntry:
    """What a cache holds of one frozen part.

    Attributes:
        name: str, of its folder: a digest of weights, graph, dtype and versions.
        model: str, the name of the model that the frozen part is from; "unknown" if damaged.
        shapes: list of str, of its outputs, such as "float32 (1280,)"; empty if unknown.
        rows: int, how many pictures or views of pictures; None if unknown.
        num_bytes: int, on the disk.
        last_used: datetime.datetime, of the local time zone.
    """

    name: str
    model: str
    shapes: list[str]
    rows: int | None
    num_bytes: int
    last_used: datetime.datetime


def describe(folder: pathlib.Path) -> CacheEntry:
    """What lies in the folder of an entry."""
    about = read_about(folder)
    shards = by_age(folder.glob(SHARDS))
    used = max((when for when, _, _ in shards or by_age([folder])), default=0.0)
    return CacheEntry(
        name=folder.name,
        model=about["model"] if about else "unknown",
        shapes=about["shapes"] if about else [],
        rows=sum(rows_in(size, about["row_bytes"]) for _, _, size in shards) if about else None,
        num_bytes=sum(size for _, _, size in shards),
        last_used=datetime.datetime.fromtimestamp(used).astimezone(),
    )


def by_age(paths: Iterable[pathlib.Path]) -> list[tuple[float, pathlib.Path, int]]:
    """When each was used last, itself and its size; that not used for longest first."""
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            state = path.stat()
            found.append((state.st_mtime, path, state.st_size))
    return sorted(found)


def read_about(folder: pathlib.Path) -> dict[str, Any] | None:
    """The description of an entry, None where there is none or it is damaged."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        known = [about["model"], *about["shapes"]]
        whole = all(isinstance(text, str) for text in known) and about["row_bytes"] > 0
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return about if whole else None


def is_entry(folder: pathlib.Path) -> bool:
    """Whether a path is an entry, and not something else in a folder that is no cache."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    damaged = _NAME.fullmatch(folder.name) and all(map(_is_ours, folder.glob("*")))
    return bool(damaged) or read_about(folder) is not None


def _is_ours(path: pathlib.Path) -> bool:
    return bool(_FILES.fullmatch(path.name)) and path.is_file()


def remove_files(folder: pathlib.Path) -> None:
    """Removes what the cache has written into an entry, and the folder if nothing else is there."""
    for path in folder.glob("*"):
        if _is_ours(path):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
