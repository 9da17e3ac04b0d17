"""`keras-transfer evaluate`: a run's model on labelled pictures."""

from __future__ import annotations

import enum
import pathlib
from typing import Annotated

import typer

from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.data import DATA_HELP, load_data


class Part(str, enum.Enum):
    """Which part of the data."""

    train = "train"
    validation = "validation"
    test = "test"


def evaluate(
    run: Annotated[pathlib.Path, typer.Argument(help="A run folder made by `fit`.")],
    data: Annotated[str, typer.Argument(help=DATA_HELP)],
    part: Annotated[Part, typer.Option(help="Which part of the data.")] = Part.test,
    output: Annotated[
        pathlib.Path | None,
        typer.Option("--output", "-o", help="Folder for the figures. Default: RUN/evaluation."),
    ] = None,
) -> None:
    """Evaluate a trained model on labelled pictures.

    Pictures are read and split as in the training. Prints the figures of each class and writes
    metrics.json and confusion_matrix.png.

    Example: `keras-transfer evaluate runs/noto emoji_styles://twemoji`
    """
    import_quietly()
    import keras_transfer as kx
    from keras_transfer.runs import load_run

    model, settings = load_run(run)
    size = (settings["image_size"], settings["image_size"])
    keys = ("batch_size", "validation_split", "test_split", "seed", "resize", "on_error")
    splits = load_data(data, image_size=size, **{key: settings[key] for key in keys})
    if splits.class_names != model.class_names:
        raise ValueError(
            f"Expected the classes that the model knows, {model.class_names}. "
            f"Received: {splits.class_names} in {data}."
        )
    dataset = getattr(splits, part.value)
    if dataset is None:
        raise ValueError(f"Expected {data} to have {part.value} data. Received: none.")
    report = kx.evaluate(model, dataset)
    report.save(output or run / "evaluation")
    report.print()
    print(f"All is in {output or run / 'evaluation'}.")
