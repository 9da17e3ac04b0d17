"""The file of a search's state: one line of checksum, one of JSON; and the one before it."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import Any

from keras_transfer._atomic import write_text

NEWEST, BEFORE = "search.json", "search.before.json"


def write_state(folder: pathlib.Path, text: str) -> None:
    """Replaces the newest state, which becomes the one before.

    Args:
        folder: of the search.
        text: JSON in one line.
    """
    newest = folder / NEWEST
    if newest.is_file():
        _link(newest, folder / BEFORE)
    write_text(newest, f"{_digest(text)}\n{text}\n")


def read_state(path: pathlib.Path) -> dict[str, Any]:
    """What is in one of the two files.

    Raises:
        ValueError: if the file is damaged.
    """
    digest, _, text = path.read_text(encoding="utf-8").partition("\n")
    if digest != _digest(text.rstrip("\n")):
        raise ValueError("its checksum is another")
    return json.loads(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _link(path: pathlib.Path, name: pathlib.Path) -> None:
    """A second name for a file, in the place of what had it."""
    temporary = name.with_name(f".{name.name}")
    temporary.unlink(missing_ok=True)
    os.link(path, temporary)
    os.replace(temporary, name)
