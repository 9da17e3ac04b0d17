"""How to train, from the options of the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from keras_transfer.strategies.strategy import Strategy

DEFAULT_EPOCHS = 20
# Options that only some strategies know; elsewhere they would be ignored without a word.
_KNOWN_TO = {
    "blocks": ("fine_tuning",),
    "stages": ("gradual_unfreezing",),
    "batch_norm": ("fine_tuning", "gradual_unfreezing", "probe_then_tune"),
}
_UNSET = {"blocks": None, "stages": None, "batch_norm": "frozen"}


def fine_tune_options(
    settings: dict[str, Any], *, num_examples: int, num_classes: int
) -> dict[str, Any]:
    """What `kx.fine_tune` gets, by the settings of `keras-transfer fit`.

    Raises:
        ValueError: if an option is given that the strategy does not know.
    """
    import keras_transfer as kx

    name, size = settings["strategy"], (settings["image_size"], settings["image_size"])
    for option, known_to in _KNOWN_TO.items():
        if settings[option] != _UNSET[option] and name not in known_to:
            raise ValueError(
                f"Expected --{option.replace('_', '-')} with --strategy {' or '.join(known_to)} "
                f"alone. Received: {settings[option]} with strategy {name}."
            )
    options: dict[str, Any] = {"epochs": DEFAULT_EPOCHS}
    if name == "recipe":
        options = kx.default_recipe(num_examples, num_classes, size, seed=settings["seed"]).settings
    else:
        options["strategy"] = _STRATEGIES[name](settings)
    given = {key: settings[key] for key in ("epochs", "learning_rate", "layer_decay")}
    options |= {key: value for key, value in given.items() if value is not None}
    if settings["augmentation"] is not None:
        strength = settings["augmentation"]
        options["augmentation"] = kx.augmentation(strength, size, seed=settings["seed"])
    if settings["mixing"] != "none":
        options["mixing"] = _mixing(settings["mixing"], settings["seed"])
    if settings["l2sp"] is not None:
        options["regularizer"] = kx.L2SP(backbone=settings["l2sp"])
    return {**options, "schedule": settings["schedule"]}


def split_names(names: str) -> list[str]:
    """Names that are given with commas between them."""
    return [name.strip() for name in names.split(",")]


def _mixing(name: str, seed: int) -> list[keras.layers.Layer]:
    import keras

    mixup = keras.layers.MixUp(0.2, seed=seed)
    cutmix = keras.layers.CutMix((1.0, 1.0), seed=seed)
    return {"mixup": [mixup], "cutmix": [cutmix], "both": [mixup, cutmix]}[name]


def _fine_tuning(settings: dict[str, Any]) -> Strategy:
    import keras_transfer as kx

    blocks = settings["blocks"]
    if blocks is not None:
        blocks = int(blocks) if blocks.isdecimal() else split_names(blocks)
    return kx.FineTuning(blocks, batch_norm=settings["batch_norm"])


def _gradual_unfreezing(settings: dict[str, Any]) -> Strategy:
    import keras_transfer as kx

    return kx.GradualUnfreezing(settings["stages"] or 3, batch_norm=settings["batch_norm"])


def _probe_then_tune(settings: dict[str, Any]) -> Strategy:
    import keras_transfer as kx

    tuning = kx.FineTuning(batch_norm=settings["batch_norm"])
    return kx.Sequence([kx.FeatureExtraction(), tuning])


def _plain(name: str) -> Callable[[dict[str, Any]], Strategy]:
    def make(settings: dict[str, Any]) -> Strategy:
        import keras_transfer as kx

        return getattr(kx, name)()

    return make


_STRATEGIES: dict[str, Callable[[dict[str, Any]], Strategy]] = {
    "feature_extraction": _plain("FeatureExtraction"),
    "fine_tuning": _fine_tuning,
    "gradual_unfreezing": _gradual_unfreezing,
    "probe_then_tune": _probe_then_tune,
    "normalization": _plain("NormalizationTuning"),
    "biases": _plain("BiasTuning"),
}
