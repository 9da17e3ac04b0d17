"""What tests and the examples in docstrings have in common: garbage is collected quickly."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def _leave_alone_what_is_there():
    """Collecting garbage, by Python or below, need not look at what is imported, nor at what
    earlier tests have left: that would take seconds each time, which KerasTuner does before each
    trial.
    """
    gc.collect()
    gc.freeze()
