"""Trains by the settings of the command line, into a run folder."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

from keras_transfer.cli.data import fingerprint, load_data
from keras_transfer.cli.strategy import recipe_from
from keras_transfer.cli.text import check_text_settings, is_text, load_texts

if TYPE_CHECKING:
    import keras

    from keras_transfer.data.splits import Splits


def train_run(settings: dict[str, Any], output: pathlib.Path, *, overwrite: bool) -> Any:
    """Trains by the settings of `fit` into a run folder and returns the report."""
    import keras

    import keras_transfer as kx
    from keras_transfer.runs import finish_run, start_run

    recipe_from(settings, num_examples=1, num_classes=1)  # settings that do not fit together
    if is_text(settings["data"]):
        check_text_settings(settings)
        settings = {**settings, "image_size": None, "resize": None, "augmentation": None}
    keras.utils.set_random_seed(settings["seed"])
    splits = load_splits(settings)
    recipe = recipe_from(
        settings,
        num_examples=splits.num_train,
        num_classes=len(splits.class_names),
    )
    model = kx.Classifier(_backbone(settings), splits.class_names, **recipe.classifier)
    held_out = splits.test or splits.validation
    if held_out is None:
        raise ValueError(
            "Expected data to evaluate on: a test/ folder, --test-split or --validation-split "
            "above 0. Received: neither."
        )
    identity = {
        # Weights are the same with and without a cache: a killed run goes on either way.
        **{name: value for name, value in settings.items() if name != "cache"},
        "data_fingerprint": fingerprint(settings["data"]),
        "versions": {"keras_transfer": kx.__version__, "keras": keras.__version__},
    }
    checkpoints = start_run(output, identity, overwrite=overwrite)
    history = kx.fine_tune(
        model,
        splits.train,
        splits.validation,
        class_weight="balanced" if settings["balanced"] else None,
        early_stopping=settings["early_stopping"],
        checkpoints=checkpoints,
        cache="auto" if settings["cache"] else None,
        **recipe.settings,
    )
    report = kx.evaluate(model, held_out)
    finish_run(output, model, history, report)
    report.print()
    print(f"Evaluated on the {'test' if splits.test else 'validation'} data; all is in {output}.")
    return report


def load_splits(settings: dict[str, Any]) -> Splits:
    """The pictures or texts that settings say."""
    if is_text(settings["data"]):
        return load_texts(settings["data"], settings)
    names = ("batch_size", "validation_split", "test_split", "seed", "resize", "on_error")
    size = (settings["image_size"], settings["image_size"])
    chosen = {name: settings[name] for name in names}
    return load_data(settings["data"], image_size=size, **chosen)


def _backbone(settings: dict[str, Any]) -> keras.Model:
    import keras_transfer as kx

    weights = None if settings["weights"] == "random" else settings["weights"]
    size = settings["image_size"]
    shape = None if size is None else (size, size, 3)
    return kx.load_backbone(settings["backbone"], input_shape=shape, weights=weights)
