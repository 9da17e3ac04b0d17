"""`keras-transfer export`: a run becomes a version for TF Serving."""

from __future__ import annotations

import json
import pathlib
from typing import Annotated

import typer
from rich.console import Console

from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.options import Run


def export(
    run: Run,
    base_path: Annotated[
        pathlib.Path, typer.Argument(help="The model's folder, such as models/flowers.")
    ],
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the newest versions stay, and those with a label."),
    ] = None,
) -> None:
    """Export a trained model for TF Serving, as the next version below BASE_PATH.

    The version takes the bytes of picture files, or texts, and gives labels. It is checked as by
    `keras-transfer verify` before it appears.

    Example: `keras-transfer export runs/noto models/noto`
    """
    import_quietly()
    import keras_transfer as kx
    from keras_transfer.runs import METRICS, load_run

    model, _ = load_run(run)
    evaluation = json.loads((run / METRICS).read_text())
    with Console().status("Exporting and verifying"):
        version = kx.export(model, base_path, evaluation=evaluation, keep=keep)
    print(f"Exported and verified {version}.")
