"""`keras-transfer fit`: a folder of pictures or a table of texts becomes a run folder."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.options import (
    MODEL,
    PICTURES,
    TRAINING,
    Backbone,
    Blocks,
    Data,
    LabelColumn,
    LayerDecay,
    NewRun,
    OnError,
    Overwrite,
    Pooling,
    Resize,
    SequenceLength,
    SplitColumn,
    TextColumn,
    image_size_option,
    on_error_option,
)
from keras_transfer.cli.strategy import StrategyName
from keras_transfer.cli.training import train_run

STRATEGY_HELP = (
    "Which weights move: the head alone; the backbone, too; its blocks one group after another; "
    "the head first and then all; the backbone's normalization or biases alone. 'recipe' chooses, "
    "by the number of pictures a class, all that is not given here."
)


def fit(
    data: Data,
    output: NewRun,
    backbone: Backbone = "efficientnet_lite0",
    weights: Annotated[
        str,
        typer.Option(
            help="'pretrained', 'random', or the path of a weights file.", rich_help_panel=MODEL
        ),
    ] = "pretrained",
    image_size: Annotated[int, image_size_option(PICTURES)] = 128,
    resize: Annotated[
        Resize,
        typer.Option(help="For other proportions.", rich_help_panel=PICTURES),
    ] = "stretch",
    strategy: Annotated[
        StrategyName, typer.Option(help=STRATEGY_HELP, rich_help_panel=TRAINING)
    ] = "feature_extraction",
    blocks: Blocks = None,
    stages: Annotated[
        int | None,
        typer.Option(
            min=1, help="gradual_unfreezing: how many groups of blocks.", rich_help_panel=TRAINING
        ),
    ] = None,
    batch_norm: Annotated[
        Literal["frozen", "trainable"],
        typer.Option(
            help="Fine-tuning: 'trainable' is for random weights.", rich_help_panel=TRAINING
        ),
    ] = "frozen",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over the training data, in all. Default: 20; recipe's.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Peak of the schedule. Default: the strategy's own.", rich_help_panel=TRAINING
        ),
    ] = None,
    layer_decay: LayerDecay = None,
    schedule: Annotated[
        Literal["cosine", "one_cycle", "triangular", "triangular2", "constant"],
        typer.Option(help="How the learning rate moves.", rich_help_panel=TRAINING),
    ] = "cosine",
    l2sp: Annotated[
        float | None,
        typer.Option(
            help="Strength of the pull of the backbone towards its pretrained weights, and with "
            "0.01 of the head towards zero.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Pictures a step.", rich_help_panel=PICTURES)
    ] = 32,
    augmentation: Annotated[
        Literal["none", "light", "standard", "strong"] | None,
        typer.Option(
            help="Random changes to training pictures. Default: none; recipe's.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    mixing: Annotated[
        Literal["none", "mixup", "cutmix", "both"],
        typer.Option(help="Pictures and labels of two classes mixed.", rich_help_panel=PICTURES),
    ] = "none",
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            help="Share of each label spread over all classes. Default: 0; recipe's.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    depths: Annotated[
        str | None,
        typer.Option(
            help="Blocks whose features are taken, with commas, or how many. Default: the last; "
            "recipe's.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    fusion: Annotated[
        Literal["concat", "pool", "attention"],
        typer.Option(help="How several depths become one.", rich_help_panel=MODEL),
    ] = "concat",
    pooling: Pooling = "avg",
    standardize: Annotated[
        bool | None,
        typer.Option(
            help="Bring each feature to zero mean and unit variance. Default: no; recipe's.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    hidden: Annotated[
        str,
        typer.Option(
            help="Widths of dense layers in the head, with commas.", rich_help_panel=MODEL
        ),
    ] = "",
    dropout: Annotated[
        float | None,
        typer.Option(
            help="Before each dense layer of the head. Default: 0.2; recipe's.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="Weigh rare classes up.", rich_help_panel=PICTURES)
    ] = False,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            min=1, help="Stop after so many epochs without improvement.", rich_help_panel=TRAINING
        ),
    ] = None,
    validation_split: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of the training pictures.", rich_help_panel=PICTURES
        ),
    ] = 0.2,
    test_split: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share, where there is no test/ folder.", rich_help_panel=PICTURES
        ),
    ] = 0.0,
    text: TextColumn = "text",
    label: LabelColumn = "label",
    split: SplitColumn = None,
    sequence_length: SequenceLength = 128,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache/--no-cache",
            help="Run the frozen part of the model once for each picture and keep what it gives "
            "on disk, see `keras-transfer cache`. The weights are the same either way.",
            rich_help_panel=TRAINING,
        ),
    ] = True,
    seed: Annotated[
        int, typer.Option(help="Of split, order, head and augmentation.", rich_help_panel=TRAINING)
    ] = 0,
    on_error: Annotated[OnError, on_error_option(PICTURES)] = "raise",
    overwrite: Overwrite = False,
) -> None:
    """Train a classifier on a folder of pictures, or on a table of texts.

    The run folder gets model.keras, class_names.json, settings.json, history.csv, metrics.json
    and confusion_matrix.png (of the test data, else of the validation data). Killed in between,
    the same command goes on after the last finished epoch.

    Example: `keras-transfer fit emoji_styles://noto -o runs/noto --epochs 5`

    Example: `keras-transfer fit flowers -o runs/flowers --strategy gradual_unfreezing --stages 3
    --layer-decay 0.8`

    Example: `keras-transfer fit reviews.csv -o runs/reviews --backbone hf://FOLDER --pooling mean`
    """
    settings = dict(locals())
    del settings["output"], settings["overwrite"]
    import_quietly()
    train_run(settings, output, overwrite=overwrite)
