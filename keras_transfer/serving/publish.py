"""A finished version appears under the next number, whole or not at all."""

from __future__ import annotations

import pathlib

from keras_transfer._atomic import publish


def publish_next_version(staging: pathlib.Path, base_path: pathlib.Path) -> pathlib.Path:
    """Renames a finished folder to one above the highest version; never overwrites one.

    Args:
        staging: folder on the same file system; gone afterwards.
        base_path: the model's folder, which TF Serving watches.

    Returns:
        The path of the new version.
    """
    while True:
        version = base_path / str(max(versions(base_path), default=0) + 1)
        try:
            publish(staging, version)
            return version
        except OSError:
            # Somebody else took the number between the look and the rename: take the next.
            if not version.exists():
                raise


def versions(base_path: pathlib.Path) -> list[int]:
    """The versions below a base path, as TF Serving finds them: by their integer names."""
    if not base_path.is_dir():
        return []
    return sorted(int(child.name) for child in base_path.iterdir() if child.name.isdecimal())
