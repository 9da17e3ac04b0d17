"""Files and folders that are either whole or not there, whenever the process is killed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

# How the names of folders begin that are being written.
STAGING = ".staging-"


@contextlib.contextmanager
def staging_folder(parent: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden folder to write into, on the file system of `parent`; removed if still there."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=STAGING, dir=parent))
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


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden file to write, with the same ending; it takes the place of `path` at the end."""
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
    """Replaces a text file at once."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
