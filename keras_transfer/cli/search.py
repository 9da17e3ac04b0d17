"""`keras-transfer search`: searches, unless its first word is another command, as `show`."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from keras_transfer.cli.search_run import run

_RUN = "run"


class _SearchGroup(TyperGroup):
    """`search DATA` searches; `search show` and further words are commands of their own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the name of the command in front that has none."""
        named = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args if named else [_RUN, *(args or ["--help"])])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Usage is shown without that name."""
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == _RUN else name, command, rest


search = typer.Typer(
    cls=_SearchGroup,
    help="Search hyper-parameters: backbone, strategy, head, rates. `search show RUN` shows a "
    "search, `search export RUN` ends it.",
    no_args_is_help=False,
)


search.command(_RUN, hidden=True)(run)


@search.command("show")
def show(
    run: Annotated[pathlib.Path, typer.Argument(help="The folder of a search.")],
    top: Annotated[int | None, typer.Option(min=1, help="Only so many of the best.")] = None,
    html: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--html",
            help="Write the report as well: one file, which needs nothing else to be looked at.",
        ),
    ] = None,
) -> None:
    """Show the trials of a search, the best first; also while it runs.

    Nothing is changed. Where the newest state is damaged, the one before is shown.

    Example: `keras-transfer search show runs/search`

    Example: `keras-transfer search show runs/search --top 5 --html report.html`
    """
    from keras_transfer.cli.search_table import print_search

    print_search(run, top=top)
    if html is not None:
        import keras_transfer as kx

        print(f"The report is in {kx.search_report(run, html)}.")


@search.command("export")
def export(
    run: Annotated[pathlib.Path, typer.Argument(help="The folder of a search.")],
    base_path: Annotated[
        pathlib.Path,
        typer.Argument(help="The model's folder, which gets a version; the next best go beside."),
    ],
    num_models: Annotated[
        int, typer.Option(min=1, help="How many of the best, by validation.")
    ] = 1,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="Train anew first, on training and validation data together, for as many epochs "
            "as were best.",
        ),
    ] = False,
) -> None:
    """End a search: test the best models, once, and export them for TF Serving, verified.

    The run folder gets best.json (best-2.json ...), from which the model can be trained anew.

    Example: `keras-transfer search export runs/search models/flowers --retrain`
    """
    from keras_transfer.cli._tensorflow import import_quietly

    import_quietly()
    from keras_transfer.cli.searching import export_best

    export_best(run, base_path, num_models=num_models, retrain=retrain)
