"""Which model and how to train it, from the options of the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import keras

    from keras_transfer.strategies.strategy import Strategy
    from keras_transfer.training.recipe import Recipe

DEFAULT_EPOCHS = 20
DEFAULT_DROPOUT = 0.2
StageStrategyName = Literal[
    "feature_extraction",
    "fine_tuning",
    "gradual_unfreezing",
    "probe_then_tune",
    "normalization",
    "biases",
]
StrategyName = Literal[StageStrategyName, "recipe"]
_TRAIN_MORE = tuple(name for name in get_args(StrategyName) if name != "feature_extraction")
# Options that only some strategies know; elsewhere they would be ignored without a word.
_KNOWN_TO = {
    "blocks": ("fine_tuning",),
    "stages": ("gradual_unfreezing",),
    "batch_norm": ("fine_tuning", "gradual_unfreezing", "probe_then_tune"),
    "layer_decay": _TRAIN_MORE,
    "l2sp": _TRAIN_MORE,
}
_UNSET = dict.fromkeys(_KNOWN_TO) | {"batch_norm": "frozen"}


def recipe_from(settings: dict[str, Any], *, num_examples: int, num_classes: int) -> Recipe:
    """What `kx.Classifier` and `kx.fine_tune` get, by the settings of `keras-transfer fit`.

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
    if settings["fusion"] != "concat" and not (settings["depths"] or name == "recipe"):
        raise ValueError(
            "Expected --fusion with --depths, as there is nothing to fuse in one depth. "
            f"Received: {settings['fusion']}."
        )
    if name == "recipe":
        recipe = kx.default_recipe(num_examples, num_classes, size, seed=settings["seed"])
    else:
        recipe = kx.Recipe(
            {"dropout": DEFAULT_DROPOUT},
            {"epochs": DEFAULT_EPOCHS, "strategy": _STRATEGIES[name](settings)},
        )
    return kx.Recipe(
        recipe.classifier | _classifier(settings), recipe.settings | _fine_tune(settings)
    )


def _classifier(settings: dict[str, Any]) -> dict[str, Any]:
    """The options of the model that are given, and those without another default."""
    given: dict[str, Any] = {key: settings[key] for key in ("fusion", "pooling")}
    given["hidden"] = _widths(settings["hidden"])
    options = {key: settings[key] for key in ("dropout", "standardize")}
    given |= {key: value for key, value in options.items() if value is not None}
    if settings["depths"] is not None:
        given["depths"] = _number_or_names(settings["depths"])
    return given


def _fine_tune(settings: dict[str, Any]) -> dict[str, Any]:
    """The same for training."""
    import keras_transfer as kx

    names = ("epochs", "learning_rate", "layer_decay", "label_smoothing")
    options = {key: settings[key] for key in names}
    given = {key: value for key, value in options.items() if value is not None}
    if settings["augmentation"] is not None:
        strength, size = settings["augmentation"], settings["image_size"]
        given["augmentation"] = kx.augmentation(strength, (size, size), seed=settings["seed"])
    if settings["mixing"] != "none":
        given["mixing"] = _mixing(settings["mixing"], settings["seed"])
    if settings["l2sp"] is not None:
        given["regularizer"] = kx.L2SP(backbone=settings["l2sp"])
    return {**given, "schedule": settings["schedule"]}


def _number_or_names(text: str) -> int | list[str]:
    """A number, or names that are given with commas between them."""
    return int(text) if text.isdecimal() else [name.strip() for name in text.split(",")]


def _widths(hidden: str) -> list[int]:
    widths = [width.strip() for width in hidden.split(",") if width.strip()]
    if not all(width.isdecimal() for width in widths):
        raise ValueError(f"Expected --hidden to be widths, such as 64,32. Received: {hidden!r}.")
    return [int(width) for width in widths]


def _mixing(name: str, seed: int) -> list[keras.layers.Layer]:
    import keras

    mixup = keras.layers.MixUp(0.2, seed=seed)
    cutmix = keras.layers.CutMix((1.0, 1.0), seed=seed)
    return {"mixup": [mixup], "cutmix": [cutmix], "both": [mixup, cutmix]}[name]


def _fine_tuning(settings: dict[str, Any]) -> Strategy:
    import keras_transfer as kx

    blocks = settings["blocks"]
    blocks = None if blocks is None else _number_or_names(blocks)
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
