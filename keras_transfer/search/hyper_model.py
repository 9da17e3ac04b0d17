"""A space of transfer learning: which backbone, which weights may move, which head, how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras
import keras_tuner
import tensorflow as tf

from keras_transfer.backbones.registry import load_backbone
from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.data.augmentation import Strength, augmentation
from keras_transfer.models.blocks import split_into_blocks
from keras_transfer.models.classifier import Classifier
from keras_transfer.models.tasks import ONE_CLASS
from keras_transfer.strategies.freezing import FeatureExtraction, FineTuning
from keras_transfer.strategies.gradual import GradualUnfreezing
from keras_transfer.strategies.regularizers import L2SP
from keras_transfer.strategies.sequence import Sequence as StageSequence
from keras_transfer.strategies.strategy import Strategy
from keras_transfer.training.fine_tune import fine_tune
from keras_transfer.training.optimizers import default_optimizer

StrategyName = Literal["feature_extraction", "fine_tuning", "gradual_unfreezing", "probe_then_tune"]
_TUNES = [name for name in get_args(StrategyName) if name != "feature_extraction"]


class TransferHyperModel(keras_tuner.HyperModel):
    """Searches over the strategy itself, besides head, optimizer and augmentation.

    A subclass changes a part of the space by overriding one of the methods `head`, `strategy` and
    `training`, with ordinary calls of `hp`. Fix what is not to be searched by
    `hyperparameters.Fixed(name, value)` of the oracle. Works in any tuner of KerasTuner;
    `kx.TransferTuner` adds what it keeps.

    Args:
        class_names: list of str, or int for as many classes.
        backbones: handles of `kx.load_backbone`, or functions without arguments that give a
            keras.Model, which is made anew in each trial.
        strategies: some of "feature_extraction", "fine_tuning" (some upper blocks or all),
            "gradual_unfreezing" and "probe_then_tune".
        input_shape: tuple (height, width, 3) for backbones of pictures; None for texts.
        poolings: some of those of `kx.Classifier`.
        augmentations: some of those of `kx.augmentation`; features of augmented pictures are not
            cached.
        epochs: int from 1, of a trial for which `search` says no other.

    Raises:
        ValueError: if there is no backbone, or no strategy or one of another name.

    Example:

    >>> import keras_tuner
    >>> import keras_transfer as kx
    >>> space = kx.TransferHyperModel(["cat", "dog"], input_shape=(32, 32, 3))
    >>> hp = keras_tuner.HyperParameters()
    >>> space.build(hp).output_shape
    (None, 2)
    >>> sorted(hp.values)[:4]
    ['backbone', 'depths', 'dropout', 'hidden']
    """

    def __init__(
        self,
        class_names: Sequence[str] | int,
        *,
        backbones: Sequence[Any] = ("efficientnet_lite0",),
        strategies: Sequence[StrategyName] = ("feature_extraction", "fine_tuning"),
        input_shape: tuple[int, int, int] | None = None,
        poolings: Sequence[str] = ("avg",),
        augmentations: Sequence[Strength] = ("none",),
        epochs: int = 10,
    ):
        super().__init__(name="transfer", tunable=True)
        unknown = [name for name in strategies if name not in get_args(StrategyName)]
        if not backbones or not strategies or unknown:
            raise ValueError(
                f"Expected `backbones`, and `strategies` of {get_args(StrategyName)}. Received: "
                f"backbones={list(backbones)}, strategies={list(strategies)}."
            )
        self.class_names = class_names
        self.backbones = list(backbones)
        self.strategies = list(strategies)
        self.input_shape = input_shape
        self.poolings = list(poolings)
        self.augmentations = list(augmentations)
        self.epochs = epochs

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The model of a trial, compiled, with the flags of its strategy's first stage."""
        model = Classifier(self.backbone(hp), self.class_names, **self.head(hp))
        strategy = self.strategy(hp, len(split_into_blocks(model)))
        strategy.apply(model)
        settings = self.training(hp)
        optimizer = settings.get("optimizer") or default_optimizer(
            settings["learning_rate"], strategy.default_weight_decay
        )
        # By the name of the loss `fine_tune` tells that it may smooth labels.
        model.compile(optimizer, ONE_CLASS.loss(), metrics=ONE_CLASS.metrics())
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        train: tf.data.Dataset,
        validation_data: tf.data.Dataset | None = None,
        *,
        epochs: int | None = None,
        checkpoints: Any = None,
        cache: FeatureCache | Literal["auto"] | None = "auto",
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: str | int = "auto",
    ) -> list[keras.callbacks.History]:
        """Trains the model of a trial by `kx.fine_tune`; see there.

        Args:
            hp: the trial's values.
            model: what `build` gave.
            train: see `kx.fine_tune`, as the arguments that follow.
            validation_data: see there.
            epochs: defaults to this object's own.
            checkpoints: see there.
            cache: see there.
            callbacks: see there.
            verbose: see there.

        Returns:
            A history for each stage.
        """
        return fine_tune(
            model,
            train,
            validation_data,
            strategy=self.strategy(hp, len(split_into_blocks(model))),
            epochs=self.epochs if epochs is None else epochs,
            checkpoints=checkpoints,
            cache=cache,
            callbacks=callbacks,
            verbose=verbose,
            **self.training(hp),
        )

    def backbone(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Which pretrained network."""
        names = [x if isinstance(x, str) else x.__name__ for x in self.backbones]
        chosen = self.backbones[names.index(hp.Choice("backbone", names))]
        if not isinstance(chosen, str):
            return chosen()
        options: dict[str, Any] = {}
        if self.input_shape is not None:
            options["input_shape"] = self.input_shape
        return load_backbone(chosen, **options)

    def head(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Keyword arguments of `kx.Classifier`."""
        hidden = hp.Choice("hidden", [0, 128, 256, 512])
        depths = hp.Choice("depths", [1, 3, 5]) if self.input_shape is not None else 1
        return {
            "pooling": hp.Choice("pooling", self.poolings),
            "hidden": [hidden] if hidden else [],
            "dropout": hp.Float("dropout", 0.0, 0.5, step=0.1),
            "depths": None if depths == 1 else depths,
        }

    def strategy(self, hp: keras_tuner.HyperParameters, blocks: int) -> Strategy:
        """Which weights may move.

        Args:
            hp: the trial's values.
            blocks: int, how many the backbone has.
        """
        name = hp.Choice("strategy", self.strategies)
        if name == "feature_extraction":
            return FeatureExtraction()
        if name == "fine_tuning":
            with hp.conditional_scope("strategy", [name]):
                share = hp.Choice("trainable_share", [0.1, 0.25, 0.5, 1.0])
            return FineTuning(blocks=max(1, round(share * blocks)))
        if name == "gradual_unfreezing":
            with hp.conditional_scope("strategy", [name]):
                return GradualUnfreezing(stages=hp.Int("stages", 2, 4))
        return StageSequence([FeatureExtraction(), FineTuning()])

    def training(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Keyword arguments of `kx.fine_tune`."""
        settings: dict[str, Any] = {
            "learning_rate": hp.Float("learning_rate", 1e-5, 1e-2, sampling="log", default=1e-3),
            "schedule": hp.Choice("schedule", ["cosine", "one_cycle", "constant"]),
            "label_smoothing": hp.Choice("label_smoothing", [0.0, 0.1]),
        }
        strength = hp.Choice("augmentation", self.augmentations)
        if strength != "none" and self.input_shape is not None:
            settings["augmentation"] = augmentation(strength, self.input_shape[:2], seed=0)
        if hp.get("strategy") in _TUNES:
            with hp.conditional_scope("strategy", [x for x in _TUNES if x in self.strategies]):
                settings["layer_decay"] = hp.Choice("layer_decay", [1.0, 0.9, 0.8])
                strength = hp.Choice("l2_sp", [0.0, 1e-3, 1e-2, 1e-1])
            settings["regularizer"] = L2SP(strength) if strength else None
        return settings
