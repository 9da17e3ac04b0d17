"""Which versions of a model there are."""

from __future__ import annotations

import pathlib


def versions(base_path: pathlib.Path) -> list[int]:
    """The versions below a base path, as TF Serving finds them: by their integer names."""
    if not base_path.is_dir():
        return []
    return sorted(int(child.name) for child in base_path.iterdir() if child.name.isdecimal())
