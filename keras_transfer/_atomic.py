"""Files and folders that are either whole or not there, whenever the process is killed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def staging_folder(parent: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden folder to write into, on the file system of `parent`; removed if still there."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=".staging-", dir=parent))
    folder.chmod(0o755)  # mkdtemp allows the owner alone; a server may run as somebody else
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(staging: pathlib.Path, target: pathlib.Path) -> None:
    """Makes a finished folder appear under its name, after everything in it is on the disk.

    Raises:
        FileExistsError: if `target` is there already; nothing is overwritten.
    """
    for path in sorted(staging.rglob("*")):
        _sync(path)
    _sync(staging)
    if target.exists():
        raise FileExistsError(f"Expected no folder of that name yet. Received: {target}.")
    os.rename(staging, target)  # fails, too, if a folder with files has appeared meanwhile
    _sync(target.parent)


def write_text(path: pathlib.Path, text: str) -> None:
    """Replaces a text file at once."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        replace(pathlib.Path(temporary), path)
    finally:
        pathlib.Path(temporary).unlink(missing_ok=True)


def replace(temporary: pathlib.Path, path: pathlib.Path) -> None:
    """Moves a finished file over another of the same folder, after it is on the disk."""
    temporary.chmod(0o644)
    _sync(temporary)
    os.replace(temporary, path)
    _sync(path.parent)


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
