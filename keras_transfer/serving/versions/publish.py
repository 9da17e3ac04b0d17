"""A finished version appears under the next number, whole or not at all, and old ones go."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import time
import uuid

from keras_transfer._atomic import STAGING, publish
from keras_transfer.serving.versions.locks import versions_lock
from keras_transfer.serving.versions.models_config import pinned_versions
from keras_transfer.serving.versions.numbers import versions

_TRASH = ".trash-"
# A staging folder that nobody has written to for so long was left behind by a kill.
_ABANDONED_SECONDS = 24 * 3600


def publish_next_version(
    staging: pathlib.Path, base_path: pathlib.Path, keep: int | None = None
) -> pathlib.Path:
    """Renames a finished folder to one above the highest version; never overwrites one.

    Args:
        staging: folder on the same file system; gone afterwards.
        base_path: the model's folder, which TF Serving watches.
        keep: int from 1, how many of the newest versions stay; None for all. What `models.config`
            beside `base_path` names stays in any case.

    Returns:
        The path of the new version.

    Raises:
        TimeoutError: if somebody else has been publishing here for a minute.
        ValueError: if `models.config` is damaged; nothing is published then.
    """
    with versions_lock(base_path):
        pinned = set() if keep is None else pinned_versions(base_path)
        _remove_left_behind(base_path)
        version = base_path / str(max(versions(base_path), default=0) + 1)
        publish(staging, version)
        if keep is not None:
            for number in versions(base_path)[:-keep]:
                if number not in pinned:
                    _remove(base_path / str(number))
    return version


def _remove(version: pathlib.Path) -> None:
    """Its number is gone at once: nobody sees half of it."""
    trash = version.with_name(f"{_TRASH}{version.name}-{uuid.uuid4().hex}")
    os.rename(version, trash)
    shutil.rmtree(trash, ignore_errors=True)


def _remove_left_behind(base_path: pathlib.Path) -> None:
    for folder in base_path.glob(f"{_TRASH}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in base_path.glob(f"{STAGING}*"):
        with contextlib.suppress(FileNotFoundError):  # published meanwhile
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
            if time.time() - newest > _ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
