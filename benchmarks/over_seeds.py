"""What the same training gives from several seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_and_error(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean and standard error; of one seed there is no error: not a number.

    Args:
        values: one of each seed.
    """
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return float(np.mean(values)), float(error)
