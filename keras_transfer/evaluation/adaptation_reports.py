"""What an adaptation gained: figures of its trainings over seeds, as a table and as JSON."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_transfer._atomic import write_text
from keras_transfer.evaluation.reports import ClassificationReport

# The trainings that others are compared with.
REFERENCE, UPPER_BOUND = "source_only", "oracle"
_COLUMNS = ("accuracy", "gain", "gap closed", "target score")


@dataclasses.dataclass(frozen=True)
class AdaptationReport:
    """How well a model of the source, adapted ones and maybe an oracle do on the target.

    Attributes:
        figures: a dict for each training, with "case" ("source_only", "oracle" or a method),
            "seed", "accuracy" on the target's test part, or None where that has no labels,
            "source_accuracy", and "target_score", None for a model that was rejected.
        kept: the case and the seed of the model that is kept.
        of_kept: its `kx.ClassificationReport` on the target's test part, or None.
    """

    figures: Sequence[dict[str, Any]]
    kept: tuple[str, int]
    of_kept: ClassificationReport | None

    @functools.cached_property
    def cases(self) -> dict[str, dict[str, Any]]:
        """Mean and standard error over seeds by case: of accuracy, gain and score."""
        names = dict.fromkeys(row["case"] for row in self.figures)
        return {name: self._summary(name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """All figures, those of the kept model as after `keras-transfer fit`, ready for JSON."""
        of_kept = {} if self.of_kept is None else self.of_kept.to_dict()
        case, seed = self.kept
        kept = {"case": case, "seed": seed}
        return {**of_kept, "kept": kept, "cases": self.cases, "trainings": list(self.figures)}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes `metrics.json`, and `confusion_matrix.png` where there are labels.

        Args:
            folder: made if it is not there.
        """
        folder = pathlib.Path(folder)
        if self.of_kept is None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "confusion_matrix.png").unlink(missing_ok=True)  # of an earlier training
        else:
            self.of_kept.save(folder)
        write_text(folder / "metrics.json", json.dumps(self.to_dict(), indent=1) + "\n")

    def print(self) -> None:
        """Prints a row for each case."""
        from rich.console import Console
        from rich.table import Table

        seeds = len({row["seed"] for row in self.figures})
        over = f", mean ± standard error of {seeds} seeds" if seeds > 1 else ""
        table = Table("case", title=f"On the target{over}")
        shown = [name for name in _COLUMNS if any(_text(x, name) for x in self.cases.values())]
        for name in shown:
            table.add_column(name, justify="right")
        for case, summary in self.cases.items():
            table.add_row(case, *(_text(summary, name) for name in shown))
        Console().print(table)
        print("Kept: {}, seed {}, by its score, which takes no labels.".format(*self.kept))

    def _summary(self, case: str) -> dict[str, Any]:
        rows = [row for row in self.figures if row["case"] == case]
        scores = [row["target_score"] for row in rows if row["target_score"] is not None]
        found = {
            "accuracy": _mean(self._values("accuracy", case)),
            "gain": None if case == REFERENCE else _mean(self._gains(case)),
            "gap_closed": self._gap_closed(case),
            "target_score": _mean(scores),
            "source_accuracy": _mean(self._values("source_accuracy", case)),
        }
        return {**found, "rejected": len(rows) - len(scores)}

    def _values(self, figure: str, case: str) -> list[float]:
        values = [row[figure] for row in self.figures if row["case"] == case]
        return [value for value in values if value is not None]

    def _gains(self, case: str) -> list[float]:
        """Over the same seed of the source alone."""
        before = {row["seed"]: row["accuracy"] for row in self.figures if row["case"] == REFERENCE}
        rows = [row for row in self.figures if row["case"] == case and row["accuracy"] is not None]
        return [row["accuracy"] - before[row["seed"]] for row in rows]

    def _gap_closed(self, case: str) -> float | None:
        """The share of what an oracle gains, if it gains anything."""
        room = float(np.mean(self._gains(UPPER_BOUND) or [0.0]))
        if room <= 0 or case == REFERENCE or not self._gains(case):
            return None
        return float(np.mean(self._gains(case))) / room


def _mean(values: Sequence[float]) -> dict[str, float | None] | None:
    if not values:
        return None
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "standard_error": error}


def _text(summary: dict[str, Any], column: str) -> str:
    """What stands in the table; nothing where there is nothing."""
    figure = summary[column.replace(" ", "_")]
    if column == "target score" and summary["rejected"]:
        others = f"{_text({**summary, 'rejected': 0}, column)}, " if figure else ""
        return f"{others}{summary['rejected']} rejected"
    if figure is None:
        return ""
    if column == "gap closed":
        return f"{figure:.0%}"
    sign = "+" if column == "gain" else ""
    error = "" if figure["standard_error"] is None else f" ± {figure['standard_error']:.3f}"
    return f"{figure['mean']:{sign}.3f}{error}"
