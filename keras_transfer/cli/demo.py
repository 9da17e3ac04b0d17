"""`keras-transfer demo`: the main job from end to end, offline, on what ships."""

from __future__ import annotations

import json
import pathlib
import time
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table

from keras_transfer.cli._tensorflow import import_quietly

if TYPE_CHECKING:
    import keras

    from keras_transfer.data.splits import Splits
    from keras_transfer.evaluation.reports import ClassificationReport

# So that all of it takes about three minutes on two cores.
FROZEN_EPOCHS, TUNED_EPOCHS = 10, 5
IMAGE_SIZE = (128, 128)
# From random weights everything is to be learnt, BatchNorm's statistics in few steps, too: with
# the momentum of the pretrained network they would still be near their start.
SCRATCH_LEARNING_RATE, SCRATCH_MOMENTUM = 2e-3, 0.9
PICTURE = "animals_nature/1f406.png"


def demo(
    output: Annotated[
        pathlib.Path, typer.Option("--output", "-o", help="Folder for everything that is made.")
    ] = pathlib.Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Of heads, order and augmentation.")] = 0,
) -> None:
    """Run the main job from end to end, offline, in about three minutes on two cores.

    Trains the bundled EfficientNet-Lite0 on the bundled Noto emoji (8 classes, 799 pictures),
    first its head, then all of it; trains the same network from random weights for as
    many epochs; evaluates each on 837 other emoji; exports the best for TF Serving, verifies the
    export and predicts one picture from it by its bytes.
    """
    started = time.monotonic()
    import_quietly()
    import keras

    import keras_transfer as kx
    from keras_transfer._atomic import replacing

    console = Console()
    keras.utils.set_random_seed(seed)
    data = kx.emoji_styles("noto", image_size=IMAGE_SIZE, validation_split=0.0, seed=seed)
    model = _classifier(data, "pretrained")

    console.rule("1. Feature extraction: the backbone frozen, the head trained")
    kx.fine_tune(model, data.train, strategy=kx.FeatureExtraction(), epochs=FROZEN_EPOCHS)
    frozen = _evaluate(model, data)

    console.rule("2. Fine-tuning: from there, everything trained")
    _fine_tune(model, data, kx.FineTuning(), None, seed)
    tuned = _evaluate(model, data)

    console.rule(f"3. For comparison: random weights, all trained {TUNED_EPOCHS} epochs, too")
    scratch_model = _classifier(data, None)
    for layer in scratch_model.layers[1].layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = SCRATCH_MOMENTUM
    strategy = kx.FineTuning(batch_norm="trainable")
    _fine_tune(scratch_model, data, strategy, SCRATCH_LEARNING_RATE, seed)
    scratch = _evaluate(scratch_model, data)

    console.rule("4. Export for TF Serving, verification, prediction")
    with console.status("Exporting and verifying"):
        version = kx.export(model, output / "models" / "noto")
    prediction = _predict_one(version)

    tuned.save(output)
    with replacing(output / "model.keras") as temporary:
        model.save(temporary)
    figures = {
        "accuracy": {
            "feature_extraction": frozen.accuracy,
            "fine_tuning": tuned.accuracy,
            "random_weights": scratch.accuracy,
        },
        "gain_over_random_weights": tuned.accuracy - scratch.accuracy,
        "fine_tuning": tuned.to_dict(),
        "prediction": prediction,
        "version": str(version),
        "seconds": round(time.monotonic() - started, 1),
    }
    _write(output / "metrics.json", figures)
    _print(console, {"frozen": frozen, "tuned": tuned, "scratch": scratch}, figures, output)


def _classifier(data: Splits, weights: str | None) -> keras.Model:
    import keras_transfer as kx

    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*IMAGE_SIZE, 3), weights=weights)
    return kx.Classifier(backbone, data.class_names, dropout=0.2)


def _fine_tune(
    model: keras.Model, data: Splits, strategy: Any, learning_rate: float | None, seed: int
) -> None:
    import keras_transfer as kx

    kx.fine_tune(
        model,
        data.train,
        strategy=strategy,
        epochs=TUNED_EPOCHS,
        learning_rate=learning_rate,
        augmentation=kx.augmentation("light", IMAGE_SIZE, seed=seed),
    )


def _evaluate(model: keras.Model, data: Splits) -> ClassificationReport:
    import keras_transfer as kx

    return cast("ClassificationReport", kx.evaluate(model, data.test))


def _predict_one(version: pathlib.Path) -> dict[str, Any]:
    import keras_transfer as kx
    from keras_transfer.serving.local import LocalModel

    picture = kx.emoji_styles_folder("noto") / "test" / PICTURE
    [answer] = LocalModel(version).predict([picture.read_bytes()])
    return {"file": str(picture), **answer}


def _write(path: pathlib.Path, figures: dict[str, Any]) -> None:
    from keras_transfer._atomic import write_text

    write_text(path, json.dumps(figures, indent=1) + "\n")


def _print(
    console: Console,
    reports: dict[str, ClassificationReport],
    figures: dict[str, Any],
    output: pathlib.Path,
) -> None:
    table = Table("EfficientNet-Lite0 on the Noto emoji", title="Accuracy on 837 unseen pictures")
    for column in ("accuracy", "macro F1", "loss"):
        table.add_column(column, justify="right")
    rows = {
        "frozen": f"pretrained, head trained {FROZEN_EPOCHS} epochs",
        "tuned": f"pretrained, then all trained {TUNED_EPOCHS} epochs",
        "scratch": f"random weights, all trained {TUNED_EPOCHS} epochs",
    }
    for key, name in rows.items():
        report = reports[key]
        table.add_row(name, *(f"{x:.3f}" for x in (report.accuracy, report.macro_f1, report.loss)))
    prediction = figures["prediction"]
    console.print(table)
    console.print(
        f"Pretraining gains {figures['gain_over_random_weights']:.3f}, all trained for as long."
    )
    console.print(
        f"From the bytes of {prediction['file']}: [bold]{prediction['label']}[/] "
        f"({prediction['score']:.3f})"
    )
    console.print(f"Version for TF Serving: {figures['version']}")
    console.print(f"Figures, plot and model: {output}, after {figures['seconds']:.0f} seconds")
