"""The table of a search's trials."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keras_transfer.search.record.axes import settings_text, text_of
from keras_transfer.search.record.records import SearchRecord, TrialRecord, read_search
from keras_transfer.search.record.time_left import duration_text

_STYLES = {"failed": "red", "pruned": "dim", "running": "cyan", "interrupted": "yellow"}


def print_search(folder: pathlib.Path, *, top: int | None = None) -> None:
    """Prints the trials, the best first, then those without a score.

    Args:
        folder: of the search.
        top: how many of them; None for all.
    """
    search = read_search(folder)
    others = [trial for trial in search.trials if trial.score is None]
    trials = [*search.ranked, *others]
    console = Console()
    console.print(_table(search, trials[:top]))
    for line in _lines(search, len(trials)):
        console.print(escape(line), highlight=False, soft_wrap=True)


def _table(search: SearchRecord, trials: Sequence[TrialRecord]) -> Table:
    table = Table()
    table.add_column("Trial", no_wrap=True)
    table.add_column(escape(search.objective), justify="right", no_wrap=True)
    table.add_column("Epochs", justify="right", no_wrap=True)
    table.add_column("Status")
    table.add_column("Hyper-parameters", ratio=1)
    for trial in trials:
        chosen = [
            (x.name, trial.values[x.name]) for x in search.differing if x.name in trial.values
        ]
        settings = settings_text(chosen) or "–"
        if trial.status == "failed":
            settings = f"{trial.reason}\n{settings}"
        told = (trial.name, text_of(trial.score), search.epochs(trial), trial.status, settings)
        table.add_row(*(escape(str(cell)) for cell in told), style=_STYLES.get(trial.status))
    return table


def _lines(search: SearchRecord, count: int) -> list[str]:
    of = f" of {search.planned_trials}" if search.planned_trials else ""
    epochs = sum(map(search.epochs, search.trials))
    lines = [f"{count}{of} trials, {epochs} epochs, {duration_text(search.seconds)}."]
    if search.same:
        lines.append(f"In all of them: {settings_text([*search.same.items()])}.")
    pruners = sorted({trial.reason for trial in search.trials if trial.status == "pruned"})
    lines += [f"Some were {pruner}." for pruner in pruners]
    if search.ended_by:
        lines.append(f"Ended, as the budget of {search.ended_by} was used up.")
    return lines
