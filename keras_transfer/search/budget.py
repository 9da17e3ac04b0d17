"""How much a search may take."""

from __future__ import annotations

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class SearchBudget:
    """Limits of a search; where one is reached it ends, and the best so far is there.

    All are counted over all runs of a search, those before a kill included, and over all workers.
    The trial that runs then ends after its epoch, with what it has reached.

    Args:
        hours: float above 0, on the clock while the search runs; None for no limit.
        epochs: int from 1, of all trials together; None for no limit.
        disk_bytes: int from 1, of the search's folder; None for no limit. Weights are kept of
            the best trials alone, see `kx.TransferTuner`.

    Raises:
        ValueError: if a limit is not above 0.

    Example:

    >>> import keras_transfer as kx
    >>> kx.SearchBudget(hours=8, epochs=400)
    SearchBudget(hours=8, epochs=400, disk_bytes=None)
    """

    hours: float | None = None
    epochs: int | None = None
    disk_bytes: int | None = None

    def __post_init__(self) -> None:
        """Checks the limits."""
        for name, limit in dataclasses.asdict(self).items():
            if limit is not None and not limit > 0:
                raise ValueError(f"Expected `{name}` above 0, or None. Received: {limit}.")

    def reached(self, *, seconds: float, epochs: int, folder: pathlib.Path) -> str | None:
        """Which limit a search has come to; None for none.

        Args:
            seconds: for which it has run.
            epochs: that its trials have trained.
            folder: where it lies.
        """
        if self.hours is not None and seconds >= self.hours * 3600:
            return f"{self.hours:g} hours"
        if self.epochs is not None and epochs >= self.epochs:
            return f"{self.epochs} epochs"
        if self.disk_bytes is not None and _size(folder) >= self.disk_bytes:
            return f"{self.disk_bytes} bytes on disk"
        return None


def _size(folder: pathlib.Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:  # meanwhile
            continue
    return total
