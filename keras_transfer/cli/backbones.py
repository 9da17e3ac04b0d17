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

    table = Table()
    table.add_column("Handle", no_wrap=True)
    for column in ("Parameters", "Input", "Width"):
        table.add_column(column, justify="right")
    table.add_column("Weights")
    for info in kx.list_backbones():
        if search.lower() in info.handle.lower():
            here = "here" if info.on_this_machine else "download"
            figures = (f"{info.parameters:,}", str(info.input_size), str(info.feature_width))
            table.add_row(info.handle, *figures, here)
    Console().print(table)
    print("Input: height and width in pixels. Width: channels of the feature map.")
