"""The best models of a search, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_transfer.search.best.best_models import BestModel

# Of an evaluation, of whatever kind the model is.
_FIGURES = ("accuracy", "root_mean_squared_error", "loss")


def print_table(models: Sequence[BestModel], objective: str) -> None:
    """Prints the models, the best by validation first.

    Args:
        models: in that order.
        objective: str, the name of what they were chosen by.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    figures = [name for name in _FIGURES if models[0].test and name in models[0].test]
    table = Table("", "Trial", title=f"Models by {escape(objective)}, the best first")
    for name in ("validation", *(f"test {figure.replace('_', ' ')}" for figure in figures)):
        table.add_column(name, justify="right")
    table.add_column("Version", overflow="fold")
    for number, model in enumerate(models, start=1):
        rank = "[bold]best[/bold]" if number == 1 else str(number)
        measured = [f"{model.test[name]:.4g}" for name in figures] if model.test else []
        version = "/".join(model.version.parts[-2:])
        table.add_row(rank, model.trial_id, f"{model.score:.4g}", *measured, escape(version))
    Console().print(table)
