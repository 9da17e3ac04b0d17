"""`keras-transfer search DATA`: many trainings of one data set, in one run folder."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.options import (
    DATA_HELP,
    MODEL,
    PICTURES,
    TRAINING,
    LabelColumn,
    NewRun,
    OnError,
    Resize,
    SequenceLength,
    SplitColumn,
    TextColumn,
    image_size_option,
    on_error_option,
)

# Further headings of the help.
SEARCH, LIMITS = "Search", "Limits"
ORACLE_HELP = (
    "What decides what is tried: values at random; where a Gaussian process expects most; many "
    "trainings of few epochs of which the best get more; every combination."
)
PRUNER_HELP = (
    "What ends trials early: those below the median of others at the same epoch; all but the best "
    "third at epochs 1, 3, 9 ...; those that have not got better for three epochs. Default: "
    "median, and none with hyperband, which has its own."
)


def run(
    data: Annotated[str, typer.Argument(help=DATA_HELP + " Or the word `show`, see above.")],
    output: NewRun,
    oracle: Annotated[
        Literal["random", "bayesian", "hyperband", "grid"],
        typer.Option(help=ORACLE_HELP, rich_help_panel=SEARCH),
    ] = "random",
    objective: Annotated[
        Literal["val_accuracy", "val_loss"],
        typer.Option(help="What trials are compared by.", rich_help_panel=SEARCH),
    ] = "val_accuracy",
    pruner: Annotated[
        Literal["median", "halving", "patience", "none"] | None,
        typer.Option(help=PRUNER_HELP, rich_help_panel=SEARCH),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many at most. Default: 20; hyperband's own number, by --epochs.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(min=1, help="Of a trial, at most.", rich_help_panel=LIMITS)
    ] = 10,
    hours: Annotated[
        float | None,
        typer.Option(help="On the clock, over all runs.", rich_help_panel=LIMITS),
    ] = None,
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Of all trials together.", rich_help_panel=LIMITS)
    ] = None,
    max_disk: Annotated[
        float | None, typer.Option(help="GB in the run folder.", rich_help_panel=LIMITS)
    ] = None,
    keep: Annotated[
        int,
        typer.Option(
            min=1, help="Of so many best trials the weights are kept.", rich_help_panel=LIMITS
        ),
    ] = 3,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            help="See `keras-transfer backbones`. Several times for a choice of them. Default: "
            "efficientnet_lite0.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    pooling: Annotated[
        list[str] | None,
        typer.Option(help="As in `fit`; several times for a choice.", rich_help_panel=MODEL),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="feature_extraction, fine_tuning, gradual_unfreezing or probe_then_tune; several "
            "times for a choice. Default: the first two.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"],
        typer.Option(
            help="'auto' takes what the machine is fast in: float32 without a GPU.",
            rich_help_panel=TRAINING,
        ),
    ] = "auto",
    cache: Annotated[
        bool,
        typer.Option(
            "--cache/--no-cache",
            help="Run the frozen part of a model once for all trials that share it.",
            rich_help_panel=TRAINING,
        ),
    ] = True,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes that train at the same time, each on one GPU where there are any.",
            rich_help_panel=TRAINING,
        ),
    ] = 1,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Of split, order, heads, and what is tried.", rich_help_panel=TRAINING
        ),
    ] = 0,
    image_size: Annotated[int, image_size_option(PICTURES)] = 128,
    resize: Annotated[
        Resize, typer.Option(help="For other proportions.", rich_help_panel=PICTURES)
    ] = "stretch",
    augmentation: Annotated[
        list[str] | None,
        typer.Option(
            help="none, light, standard or strong; several times for a choice. Default: none.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Examples a step.", rich_help_panel=PICTURES)
    ] = 32,
    validation_split: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the training data.", rich_help_panel=PICTURES),
    ] = 0.2,
    test_split: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share that no trial sees.", rich_help_panel=PICTURES),
    ] = 0.0,
    on_error: Annotated[OnError, on_error_option(PICTURES)] = "raise",
    text: TextColumn = "text",
    label: LabelColumn = "label",
    split: SplitColumn = None,
    sequence_length: SequenceLength = 128,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard/--no-tensorboard",
            help="Write curves and hyper-parameters for `tensorboard --logdir RUN`.",
            rich_help_panel=SEARCH,
        ),
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove the search in the run folder, begin anew.")
    ] = False,
) -> None:
    """Search hyper-parameters: backbone, strategy, head, rates, schedule, augmentation.

    The run folder gets everything: settings.json, search.json (what is known of each trial),
    weights of the best trials, tensorboard/, and report.html at the end. Killed in between, the
    same command goes on: a trial after its last epoch, finished ones never again. Limits, --keep,
    --workers, --cache and --tensorboard may change then; another search in the folder is refused.

    `keras-transfer search show RUN` shows the trials of a search, finished or still running; see
    `keras-transfer search show --help`.

    Example: `keras-transfer search emoji_styles://noto -o runs/search --trials 8 --epochs 4
    --image-size 64`

    Example: `keras-transfer search flowers -o runs/flowers --oracle bayesian --hours 8 --strategy
    feature_extraction --strategy gradual_unfreezing --workers 2`
    """
    settings = dict(locals())
    del settings["output"], settings["overwrite"]
    import_quietly()
    # After TensorFlow, which is imported without its messages.
    from keras_transfer.cli.searching import search_run

    search_run(settings, output, overwrite=overwrite)
