"""`keras-transfer backbones`: what can be loaded by name."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from keras_transfer.cli._tensorflow import import_quietly


def backbones(
    search: Annotated[str, typer.Argument(help="Only handles that contain this.")] = "",
) -> None:
    """List the backbones: parameters, input size, feature width, whether weights are here.

    Example: `keras-transfer backbones efficientnet`
    """
    import_quietly()
    import keras_transfer as kx

    table = Table("Handle")
    for column in ("Parameters", "Input size", "Feature width"):
        table.add_column(column, justify="right")
    table.add_column("Weights on this machine")
    for info in kx.list_backbones():
        if search.lower() in info.handle.lower():
            size, width = f"{info.input_size} x {info.input_size}", str(info.feature_width)
            here = "yes" if info.on_this_machine else "no, downloaded on first use"
            table.add_row(info.handle, f"{info.parameters:,}", size, width, here)
    Console().print(table)
