"""What people see of a search while it runs: trials, the best so far, time that is left."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.text import Text

from keras_transfer.search.budget import SearchBudget
from keras_transfer.search.record.axes import settings_text, text_of
from keras_transfer.search.record.records import SearchRecord, TrialRecord
from keras_transfer.search.record.time_left import duration_text, seconds_left
from keras_transfer.search.rules import Rules

_AT_WORK = ("running", "interrupted")


@contextlib.contextmanager
def progress_shown(rules: Rules, *, epochs: int | None, live: bool = True) -> Iterator[None]:
    """Shows what changes within: two lines that stay in place in a terminal, and a line a trial.

    Args:
        rules: of the search.
        epochs: int, of a trial; None if unknown.
        live: whether lines may stay in place; not where others print, too.
    """
    # Looked up now: tests and notebooks put another stream in its place.
    console = Console(file=sys.stdout)
    shown = SearchProgress(console, rules.budget, epochs)
    rules.listeners.append(shown)
    try:
        if not (live and console.is_terminal):
            yield
            return
        # More often than trials change, for the time.
        with Live(get_renderable=shown.lines, console=console, transient=True):
            yield
    finally:
        rules.listeners.remove(shown)


class SearchProgress:
    """Prints a line for each trial that ends, and knows what to show in between.

    Args:
        console: rich.console.Console to print to.
        budget: kx.SearchBudget of the search.
        epochs: int, of a trial; None if unknown.
    """

    def __init__(self, console: Console, budget: SearchBudget, epochs: int | None):
        self._console, self._budget, self._epochs = console, budget, epochs
        self._search: SearchRecord | None = None
        self._ended: set[str] = set()
        self._told_limit = False
        self._bar = Progress(
            SpinnerColumn(), BarColumn(20), TextColumn("{task.description}"), console=console
        )
        self._task: TaskID = self._bar.add_task("No trial yet", total=None)

    def __call__(self, search: SearchRecord) -> None:
        """Takes notice of a change."""
        ended = [trial for trial in search.trials if trial.status not in _AT_WORK]
        if self._search is None and ended:
            self._ended = {trial.name for trial in ended}
            self._say(f"{_number(len(ended), 'trial')} had ended in an earlier run.")
        self._search = search
        for trial in ended:
            if trial.name not in self._ended:
                self._ended.add(trial.name)
                self._say(_line(search, trial, len(self._ended)) + self._left())
        if search.ended_by and not self._told_limit:
            self._told_limit = True
            self._say(f"The budget of {search.ended_by} is used up.")
        self._bar.update(
            self._task,
            description=f"{len(self._ended)}{_of(search)} trials{self._left()}",
            completed=len(self._ended),
            total=search.planned_trials,
        )

    def lines(self) -> Group:
        """The bar, what runs, and the best so far."""
        search = self._search
        if search is None:
            return Group(self._bar)
        trained = _number(sum(map(search.epochs, search.trials)), "epoch")
        at_work = [_at_work(search, x, self._epochs) for x in search.trials if x.status in _AT_WORK]
        told = [f"{', '.join(at_work)}; {trained} in all" if at_work else f"{trained} in all"]
        told += [f"best so far: {_result(search, trial)}" for trial in search.ranked[:1]]
        return Group(self._bar, *(Text(f"  {line}", style="dim") for line in told))

    def _say(self, line: str) -> None:
        self._console.print(escape(line), highlight=False, soft_wrap=True)

    def _left(self) -> str:
        if self._search is None:
            return ""
        left = seconds_left(self._search, self._budget)
        return "" if not left else f"; about {duration_text(left)} left"


def _line(search: SearchRecord, trial: TrialRecord, number: int) -> str:
    begin = f"Trial {trial.name} ({number}{_of(search)})"
    if trial.status == "failed":
        return f"{begin} failed: {trial.reason}"
    pruned = ", pruned" if trial.status == "pruned" else ""
    best = search.ranked[0] if search.ranked else trial
    compared = (
        "the best so far" if best is trial else f"best {text_of(best.score)} of trial {best.name}"
    )
    size = trial.curves.get("batch_size")  # told where memory was short
    smaller = f", in batches of {size[-1]:.0f}" if size else ""
    epochs = _number(search.epochs(trial), "epoch")
    return (
        f"{begin}: {search.objective} {text_of(trial.score)} in {epochs}{smaller}{pruned}; "
        f"{compared}"
    )


def _of(search: SearchRecord) -> str:
    return f" of {search.planned_trials}" if search.planned_trials else ""


def _result(search: SearchRecord, trial: TrialRecord) -> str:
    chosen = [(x.name, trial.values[x.name]) for x in search.differing if x.name in trial.values]
    settings = f" by {settings_text(chosen)}" if chosen else ""
    return f"{search.objective} {text_of(trial.score)}, trial {trial.name}{settings}"


def _at_work(search: SearchRecord, trial: TrialRecord, epochs: int | None) -> str:
    planned = trial.planned_epochs or epochs
    of = "" if planned is None else f"/{planned}"
    return f"trial {trial.name} at epoch {search.epochs(trial)}{of}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
