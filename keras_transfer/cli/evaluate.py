"""`keras-transfer evaluate`: a run's model on labelled pictures."""

from __future__ import annotations

import enum
import functools
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.data import load_data
from keras_transfer.cli.options import Data, Run
from keras_transfer.cli.text import is_text, load_texts

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_transfer.data.splits import Splits


class Part(str, enum.Enum):
    """Which part of the data."""

    train = "train"
    validation = "validation"
    test = "test"
    all = "all"


def evaluate(
    run: Run,
    data: Data,
    part: Annotated[Part, typer.Option(help="Which part; 'all' for every picture.")] = Part.test,
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
    splits = _splits(data, settings)
    if splits.class_names != model.class_names:
        raise ValueError(
            f"Expected the classes that the model knows, {model.class_names}. "
            f"Received: {splits.class_names} in {data}."
        )
    dataset = _part(splits, part)
    report = kx.evaluate(model, dataset)
    report.save(output or run / "evaluation")
    report.print()
    print(f"All is in {output or run / 'evaluation'}.")


def _splits(data: str, settings: dict[str, Any]) -> Splits:
    """Read and split as in the training."""
    if is_text(settings["data"]) != is_text(data):
        raise ValueError(
            f"Expected data of the kind that the model was trained on, such as {settings['data']}. "
            f"Received: {data}."
        )
    if is_text(data):
        return load_texts(data, settings)
    size = (settings["image_size"], settings["image_size"])
    keys = ("batch_size", "validation_split", "test_split", "seed", "resize", "on_error")
    return load_data(data, image_size=size, **{key: settings[key] for key in keys})


def _part(splits: Splits, part: Part) -> tf.data.Dataset:
    from keras_transfer.data.splits import keep_notes

    parts = [splits.train, splits.validation, splits.test]
    if part is not Part.all:
        parts = [getattr(splits, part.value)]
    found = [dataset for dataset in parts if dataset is not None]
    if not found:
        raise ValueError(
            f"Expected {part.value} data: choose another --part, 'all' for every picture. "
            "Received: none."
        )
    joined = functools.reduce(lambda one, other: one.concatenate(other), found)
    return keep_notes(joined, found[0])
