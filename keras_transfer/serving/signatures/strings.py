"""Strings in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def as_strings(texts: Sequence[bytes]) -> np.ndarray:
    """An object array, for numpy's own bytes type drops zeros at the end."""
    array = np.empty(len(texts), object)
    array[:] = list(texts)
    return array
