"""What is searched, and how, from the options of the command line."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

from keras_transfer.cli.text import is_text
from keras_transfer.cli.training import load_splits

if TYPE_CHECKING:
    from keras_transfer.data.splits import Splits
    from keras_transfer.search.pruning import Pruner
    from keras_transfer.search.space.hyper_model import StrategyName
    from keras_transfer.search.transfer_tuner import TransferTuner

_TRIALS = 20
_BACKBONES = ["efficientnet_lite0"]
_STRATEGIES: list[StrategyName] = ["feature_extraction", "fine_tuning"]


def splits_of(settings: dict[str, Any]) -> Splits:
    """The data; texts are split into tokens by what all backbones have.

    Raises:
        ValueError: if there is nothing to compare trials by, or backbones take other tokens.
    """
    backbones = settings["backbone"] or _BACKBONES
    if is_text(settings["data"]):
        _check_texts(settings, backbones)
    splits = load_splits({**settings, "backbone": backbones[0]})
    if splits.validation is None:
        raise ValueError(
            "Expected validation data, by which trials are compared: a validation/ folder or "
            "--validation-split above 0. Received: none."
        )
    return splits


def make_tuner(
    settings: dict[str, Any], class_names: list[str], output: pathlib.Path
) -> TransferTuner:
    """The tuner of a run folder, which takes up what is there.

    Args:
        settings: of `search`.
        class_names: of the data.
        output: the run folder.
    """
    import keras_transfer as kx
    from keras_transfer.search.space.hyper_model import TransferHyperModel

    size = settings["image_size"]
    strategies: list[StrategyName] = settings["strategy"] or _STRATEGIES
    space = TransferHyperModel(
        class_names,
        backbones=settings["backbone"] or _BACKBONES,
        strategies=strategies,
        input_shape=None if is_text(settings["data"]) else (size, size, 3),
        poolings=settings["pooling"] or ["avg"],
        augmentations=settings["augmentation"] or ["none"],
        epochs=settings["epochs"],
    )
    disk = settings["max_disk"]
    return kx.TransferTuner(
        space,
        oracle=_oracle(settings),
        directory=output.parent,
        project_name=output.name,
        compute=kx.compute_strategy(precision=settings["precision"]),
        cache="auto" if settings["cache"] else None,
        pruner=_pruner(settings),
        budget=kx.SearchBudget(
            hours=settings["hours"],
            epochs=settings["max_epochs"],
            disk_bytes=None if disk is None else int(disk * 1e9),
        ),
        keep_models=settings["keep"],
    )


def _oracle(settings: dict[str, Any]) -> Any:
    from keras_transfer.search.oracles import make_oracle

    if settings["oracle"] == "hyperband" and settings["trials"] is not None:
        raise ValueError(
            "Expected --oracle hyperband without --trials, as it follows from --epochs; limit it "
            f"by --max-epochs or --hours. Received: --trials {settings['trials']}."
        )
    return make_oracle(
        settings["oracle"],
        settings["objective"],
        trials=settings["trials"] or _TRIALS,
        epochs=settings["epochs"],
        seed=settings["seed"],
    )


def _pruner(settings: dict[str, Any]) -> Pruner | None:
    import keras_transfer as kx

    default = "none" if settings["oracle"] == "hyperband" else "median"
    name = settings["pruner"] or default
    pruners: dict[str, Any] = {
        "median": kx.MedianPruner,
        "halving": kx.SuccessiveHalving,
        "patience": kx.Patience,
    }
    return pruners[name]() if name in pruners else None


def _check_texts(settings: dict[str, Any], backbones: list[str]) -> None:
    import keras_transfer as kx

    augmentations = [name for name in settings["augmentation"] or [] if name != "none"]
    if augmentations:
        raise ValueError(
            f"Expected --augmentation with pictures alone. Received: {augmentations} with "
            f"{settings['data']}."
        )
    length = settings["sequence_length"]
    configs = [
        kx.load_preprocessor(name, sequence_length=length).get_config() for name in backbones
    ]
    others = [
        name
        for name, config in zip(backbones, configs, strict=True)
        if {**config, "name": None} != {**configs[0], "name": None}
    ]
    if others:
        raise ValueError(
            "Expected backbones that take the same tokens, as all trials share the data: search "
            f"the others in a run folder of their own. Received: {backbones[0]} and {others}."
        )
