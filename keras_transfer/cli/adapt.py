"""`keras-transfer adapt`: a labeled source and a target without labels become a run folder."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from keras_transfer.adaptation.methods.names import MethodName
from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.adaptation import adapt_run
from keras_transfer.cli.options import (
    DATA_HELP,
    MODEL,
    TRAINING,
    Backbone,
    Blocks,
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
from keras_transfer.cli.strategy import StageStrategyName

# Further headings of the help.
ADAPTATION, DATA = "Adaptation", "Data"
METHOD_HELP = (
    "What brings the domains together. mmd, coral: distributions of features; joint_mmd, "
    "local_mmd: with predicted classes; dann, cdan: what a discriminator can tell apart; mcc, "
    "information, nuclear_norm, self_training: certain and diverse predictions on the target; "
    "reconstruction: features from which the target can be drawn."
)
NORMALIZATION_HELP = (
    "What BatchNorm layers that are trained see: both domains in one pass; each its own "
    "statistics, of which the model keeps the target's; nothing, as they are frozen."
)


def adapt(
    source: Annotated[str, typer.Argument(help=DATA_HELP + " With labels.")],
    target: Annotated[
        str,
        typer.Argument(
            help="The same of the other domain, with the same classes; or a folder of pictures "
            "without sub-folders, or a table without the column of labels, which have none to "
            "measure accuracy by."
        ),
    ],
    output: NewRun,
    method: Annotated[
        MethodName, typer.Option(help=METHOD_HELP, rich_help_panel=ADAPTATION)
    ] = "mmd",
    weight: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Of the method's term in the loss. Default: the method's own.",
            rich_help_panel=ADAPTATION,
        ),
    ] = None,
    normalization: Annotated[
        Literal["joint", "per_domain", "frozen"],
        typer.Option(help=NORMALIZATION_HELP, rich_help_panel=ADAPTATION),
    ] = "joint",
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="How many times each case is trained; the adapted model that scores best is kept.",
            rich_help_panel=ADAPTATION,
        ),
    ] = 1,
    oracle_labels: Annotated[
        bool,
        typer.Option(
            "--oracle-labels",
            help="Train a model on the target's labels, too, as an upper bound to compare with.",
            rich_help_panel=ADAPTATION,
        ),
    ] = False,
    backbone: Backbone = "efficientnet_lite0",
    depths: Annotated[
        str | None,
        typer.Option(
            help="Blocks whose features are taken, with commas, or how many. Default: 5 for "
            "pictures, the last for texts.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    pooling: Pooling = "avg",
    standardize: Annotated[
        bool,
        typer.Option(
            help="Bring each feature to zero mean and unit variance.", rich_help_panel=MODEL
        ),
    ] = True,
    hidden: Annotated[
        str,
        typer.Option(
            help="Widths of dense layers in the head, with commas; the last one's outputs are "
            "what is compared.",
            rich_help_panel=MODEL,
        ),
    ] = "768",
    strategy: Annotated[
        StageStrategyName,
        typer.Option(help="Which weights move, as in `fit`.", rich_help_panel=TRAINING),
    ] = "feature_extraction",
    blocks: Blocks = None,
    layer_decay: LayerDecay = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over the larger domain, in all. Default: as many as 600 steps are, at "
            "least 5.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        float, typer.Option(help="Peak of a cosine.", rich_help_panel=TRAINING)
    ] = 1e-3,
    batch_size: Annotated[
        int, typer.Option(min=2, help="Examples of each domain a step.", rich_help_panel=TRAINING)
    ] = 32,
    seed: Annotated[
        int, typer.Option(help="Of the splits; the first of the trainings.", rich_help_panel=DATA)
    ] = 0,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache/--no-cache",
            help="Run the frozen part of the model once for each example, see `keras-transfer "
            "cache`.",
            rich_help_panel=TRAINING,
        ),
    ] = True,
    image_size: Annotated[int, image_size_option(DATA)] = 128,
    resize: Annotated[
        Resize,
        typer.Option(help="Pictures of other proportions.", rich_help_panel=DATA),
    ] = "stretch",
    on_error: Annotated[OnError, on_error_option(DATA)] = "raise",
    validation_split: Annotated[
        float,
        typer.Option(
            min=0.01, max=0.9, help="Share of the training examples.", rich_help_panel=DATA
        ),
    ] = 0.2,
    test_split: Annotated[
        float,
        typer.Option(
            min=0, max=0.9, help="Share, where there is no test part.", rich_help_panel=DATA
        ),
    ] = 0.2,
    text: TextColumn = "text",
    label: LabelColumn = "label",
    split: SplitColumn = None,
    sequence_length: SequenceLength = 128,
    overwrite: Overwrite = False,
) -> None:
    """Adapt a classifier of a labeled source to a target without labels.

    Trains on the source alone, then on the source's labels and both domains' examples with a
    method in the loss. Which epoch and which seed is best is told by a score of predictions on
    held-out target examples, without labels. Labels that the target has measure accuracy on its
    test part, and nothing else unless you ask for --oracle-labels.

    The run folder gets model.keras (the adapted model) with class_names.json, settings.json,
    history.csv, metrics.json, confusion_matrix.png, and features.png: the features that are
    compared, before and after. Killed in between, the same command goes on after the last
    finished training.

    Example: `keras-transfer adapt emoji_styles://noto emoji_styles://openmoji -o runs/adapted`

    Example: `keras-transfer adapt photos drawings -o runs/drawings --method cdan --seeds 3`

    Example: `keras-transfer adapt review_domains://movies review_domains://products -o
    runs/reviews --backbone minilm_l6 --pooling mean --sequence-length 64`
    """
    settings = dict(locals())
    del settings["output"], settings["overwrite"]
    import_quietly()
    adapt_run(settings, output, overwrite=overwrite)
