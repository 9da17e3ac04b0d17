"""`keras-transfer fit`: a folder of pictures becomes a run folder."""

from __future__ import annotations

import enum
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.data import DATA_HELP, fingerprint, load_data

if TYPE_CHECKING:
    from keras_transfer.strategies.freezing import Strategy


class StrategyName(str, enum.Enum):
    """The strategies by name."""

    feature_extraction = "feature_extraction"
    fine_tuning = "fine_tuning"


class BatchNorm(str, enum.Enum):
    """What fine-tuning does with BatchNorm."""

    frozen = "frozen"
    trainable = "trainable"


class Augmentation(str, enum.Enum):
    """Strengths of augmentation."""

    none = "none"
    light = "light"
    standard = "standard"


class Pooling(str, enum.Enum):
    """Ways of pooling the feature map."""

    avg = "avg"
    max = "max"
    avgmax = "avgmax"


class Resize(str, enum.Enum):
    """What happens to pictures of other proportions."""

    stretch = "stretch"
    crop = "crop"
    pad = "pad"


class OnError(str, enum.Enum):
    """What happens at unreadable pictures."""

    stop = "raise"
    skip = "skip"


def fit(
    data: Annotated[str, typer.Argument(help=DATA_HELP)],
    output: Annotated[pathlib.Path, typer.Option("--output", "-o", help="The run folder to make.")],
    backbone: Annotated[
        str, typer.Option(help="See `keras-transfer backbones`.")
    ] = "efficientnet_lite0",
    weights: Annotated[
        str, typer.Option(help="'pretrained', 'random', or the path of a weights file.")
    ] = "pretrained",
    image_size: Annotated[int, typer.Option(min=32, help="Height and width in pixels.")] = 128,
    resize: Annotated[Resize, typer.Option(help="For other proportions.")] = Resize.stretch,
    strategy: Annotated[
        StrategyName, typer.Option(help="Train the head alone, or the backbone, too.")
    ] = StrategyName.feature_extraction,
    blocks: Annotated[
        str | None,
        typer.Option(help="fine_tuning: how many last blocks, or names with commas; else all."),
    ] = None,
    batch_norm: Annotated[
        BatchNorm, typer.Option(help="fine_tuning: 'trainable' is for random weights.")
    ] = BatchNorm.frozen,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training data.")] = 20,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak of the schedule. Default: the strategy's own.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures a step.")] = 32,
    augmentation: Annotated[
        Augmentation, typer.Option(help="Random changes to training pictures.")
    ] = Augmentation.none,
    pooling: Annotated[Pooling, typer.Option(help="Of the feature map.")] = Pooling.avg,
    hidden: Annotated[
        str, typer.Option(help="Widths of dense layers in the head, with commas.")
    ] = "",
    dropout: Annotated[float, typer.Option(help="Before each dense layer of the head.")] = 0.2,
    balanced: Annotated[bool, typer.Option("--balanced", help="Weigh rare classes up.")] = False,
    early_stopping: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many epochs without improvement.")
    ] = None,
    validation_split: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the training pictures.")
    ] = 0.2,
    test_split: Annotated[
        float, typer.Option(min=0, max=1, help="Share, where there is no test/ folder.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of split, order, head and augmentation.")] = 0,
    on_error: Annotated[OnError, typer.Option(help="At unreadable pictures.")] = OnError.stop,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is in the run folder.")
    ] = False,
) -> None:
    """Train a classifier on a folder of pictures.

    The run folder gets model.keras, class_names.json, settings.json, history.csv, metrics.json
    and confusion_matrix.png (of the test data, else of the validation data). Killed in between,
    the same command goes on after the last finished epoch.

    Example: `keras-transfer fit emoji_styles://noto -o runs/noto --epochs 5`
    """
    settings = {key: _plain(value) for key, value in locals().items()}
    del settings["output"], settings["overwrite"]
    import_quietly()
    train_run(settings, output, overwrite=overwrite)


def train_run(settings: dict[str, Any], output: pathlib.Path, *, overwrite: bool) -> Any:
    """Trains by the settings of `fit` into a run folder and returns the report."""
    import keras

    import keras_transfer as kx
    from keras_transfer.runs import finish_run, start_run

    chosen_strategy, hidden = _strategy(settings), _widths(settings["hidden"])
    size = (settings["image_size"], settings["image_size"])
    keras.utils.set_random_seed(settings["seed"])
    splits = load_data(
        settings["data"],
        image_size=size,
        **{
            key: settings[key]
            for key in (
                "batch_size",
                "validation_split",
                "test_split",
                "seed",
                "resize",
                "on_error",
            )
        },
    )
    weights = None if settings["weights"] == "random" else settings["weights"]
    model = kx.Classifier(
        kx.load_backbone(settings["backbone"], input_shape=(*size, 3), weights=weights),
        splits.class_names,
        pooling=settings["pooling"],
        hidden=hidden,
        dropout=settings["dropout"],
    )
    held_out = splits.test or splits.validation
    if held_out is None:
        raise ValueError(
            "Expected data to evaluate on: a test/ folder, --test-split or --validation-split "
            "above 0. Received: neither."
        )
    identity = {
        **settings,
        "data_fingerprint": fingerprint(settings["data"]),
        "versions": {"keras_transfer": kx.__version__, "keras": keras.__version__},
    }
    checkpoints = start_run(output, identity, overwrite=overwrite)
    history = kx.fine_tune(
        model,
        splits.train,
        splits.validation,
        strategy=chosen_strategy,
        epochs=settings["epochs"],
        learning_rate=settings["learning_rate"],
        augmentation=kx.augmentation(settings["augmentation"], size, seed=settings["seed"]),
        class_weight="balanced" if settings["balanced"] else None,
        early_stopping=settings["early_stopping"],
        checkpoints=checkpoints,
    )
    report = kx.evaluate(model, held_out)
    finish_run(output, model, history, report)
    report.print()
    print(f"Evaluated on the {'test' if splits.test else 'validation'} data; all is in {output}.")
    return report


def _strategy(settings: dict[str, Any]) -> Strategy:
    import keras_transfer as kx

    blocks = settings["blocks"]
    if settings["strategy"] == "feature_extraction":
        if blocks is not None or settings["batch_norm"] != "frozen":
            raise ValueError(
                "Expected --blocks and --batch-norm with --strategy fine_tuning alone. Received: "
                f"strategy feature_extraction, blocks {blocks}, {settings['batch_norm']} BatchNorm."
            )
        return kx.FeatureExtraction()
    if blocks is not None:
        blocks = int(blocks) if blocks.isdecimal() else [name.strip() for name in blocks.split(",")]
    return kx.FineTuning(blocks, batch_norm=settings["batch_norm"])


def _widths(hidden: str) -> list[int]:
    widths = [width.strip() for width in hidden.split(",") if width.strip()]
    if not all(width.isdecimal() for width in widths):
        raise ValueError(f"Expected --hidden to be widths, such as 64,32. Received: {hidden!r}.")
    return [int(width) for width in widths]


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value
