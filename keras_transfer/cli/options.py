"""Arguments and options that several commands have; defaults stand at each command."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any, Literal

import typer

# Headings of the help.
MODEL, PICTURES, TEXTS, TRAINING = "Model", "Pictures", "Texts", "Training"
DATA_HELP = (
    "A folder of pictures, one sub-folder a class (or train/, validation/, test/ with such); "
    "emoji_styles://noto for the bundled sample (or twemoji, openmoji); tfds://NAME. Or texts: a "
    ".csv or .tsv file, .gz too; review_domains://movies for the bundled reviews (or products)."
)

Data = Annotated[str, typer.Argument(help=DATA_HELP)]
Run = Annotated[pathlib.Path, typer.Argument(help="A run folder made by `fit` or `adapt`.")]
Version = Annotated[
    pathlib.Path, typer.Argument(help="An exported version, such as models/flowers/1.")
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="KX_SERVING_TOKEN",
        help="For a proxy in front of the server, as `Authorization: Bearer`.",
    ),
]
NewRun = Annotated[pathlib.Path, typer.Option("--output", "-o", help="The run folder to make.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is in the run folder.")]

Backbone = Annotated[
    str, typer.Option(help="See `keras-transfer backbones`.", rich_help_panel=MODEL)
]
Pooling = Annotated[
    Literal["avg", "max", "avgmax", "mean", "cls", "attention"],
    typer.Option(help="Of the feature map; the last three of texts.", rich_help_panel=MODEL),
]
Blocks = Annotated[
    str | None,
    typer.Option(
        help="fine_tuning: how many last blocks, or names with commas; else all.",
        rich_help_panel=TRAINING,
    ),
]
LayerDecay = Annotated[
    float | None,
    typer.Option(
        help="Each block's rate as a share of the one above it.", rich_help_panel=TRAINING
    ),
]

TextColumn = Annotated[str, typer.Option(help="Column of the texts.", rich_help_panel=TEXTS)]
LabelColumn = Annotated[str, typer.Option(help="Column of the labels.", rich_help_panel=TEXTS)]
SplitColumn = Annotated[
    str | None,
    typer.Option(help="Column that says train, validation or test.", rich_help_panel=TEXTS),
]
SequenceLength = Annotated[
    int, typer.Option(min=1, help="At how many tokens texts are cut.", rich_help_panel=TEXTS)
]

# What stands under one heading in one command and under another in the next.
Resize = Literal["stretch", "crop", "pad"]
OnError = Literal["raise", "skip"]


def image_size_option(panel: str) -> Any:
    """Of an int."""
    return typer.Option(min=32, help="Height and width in pixels.", rich_help_panel=panel)


def on_error_option(panel: str) -> Any:
    """Of an `OnError`."""
    return typer.Option(help="At unreadable pictures.", rich_help_panel=panel)
