"""A space of transfer learning: which backbone, which weights may move, which head, how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import keras_tuner
import tensorflow as tf

from keras_transfer.adaptation.domain_adaptation import DomainAdaptation
from keras_transfer.adaptation.methods.names import MethodName
from keras_transfer.backbones.registry import load_backbone
from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.data.augmentation import Strength, augmentation
from keras_transfer.models.blocks import split_into_blocks
from keras_transfer.models.classifier import Classifier
from keras_transfer.models.tasks import ONE_CLASS
from keras_transfer.search.space.method_space import choose_method
from keras_transfer.search.space.optimizer_space import OptimizerName, choose_optimizer
from keras_transfer.search.space.space_checks import check_space
from keras_transfer.search.space.strategy_space import (
    StrategyName,
    choose_pull,
    choose_strategy,
    within,
)
from keras_transfer.strategies.strategy import Strategy
from keras_transfer.training.fine_tune import fine_tune
from keras_transfer.training.optimizers import default_optimizer
from keras_transfer.training.trained_model import trained_model


class TransferHyperModel(keras_tuner.HyperModel):
    """Searches over the strategy itself, besides head, optimizer and augmentation.

    Narrow it by what the oracle knows beforehand: `oracle.hyperparameters.Fixed("dropout", 0.2)`,
    or any other range of the same name. A subclass changes a part of the space by overriding one
    of the methods `backbone`, `head`, `strategy`, `training` and `method`, with ordinary calls of
    `hp`. Works in any tuner of KerasTuner; `kx.TransferTuner` adds what it keeps.

    With `methods`, models adapt to a target domain: they are trained on what `kx.pair_domains`
    makes, as `kx.DomainAdaptation`; `get_best_models` of `kx.TransferTuner` gives the adapted
    model itself. Look for `keras_tuner.Objective("val_target_score", "max")`, with a
    `kx.TargetScore` among the callbacks of `search`.

    Args:
        class_names: list of str, or int for as many classes.
        backbones: handles of `kx.load_backbone`, or functions without arguments that give a
            keras.Model, which is made anew in each trial. Those of texts have to take what one
            preprocessor gives.
        strategies: some of "feature_extraction", "fine_tuning" (some upper blocks or all),
            "gradual_unfreezing" and "probe_then_tune".
        input_shape: tuple (height, width, 3) for backbones of pictures; None for texts.
        poolings: some of those of `kx.Classifier`.
        optimizers: some of "adamw", "sgd" (with momentum) and "lion".
        learning_rate: tuple (lowest, highest) for AdamW, above 0; SGD's are a hundred times as
            high, Lion's a tenth.
        augmentations: some of those of `kx.augmentation`; features of augmented pictures are not
            cached.
        methods: names of methods of adaptation, as in `keras-transfer adapt`, such as "mmd",
            "coral", "cdan", "mcc"; their weights are a tenth to ten times their own. Empty for
            training without a target domain.
        epochs: int from 1, of a trial for which `search` says no other.

    Raises:
        ValueError: if there is nothing to choose from, or something of another name, the
            learning rates are no range, or there are augmentations without `input_shape`.

    Example:

    >>> import keras_tuner
    >>> import keras_transfer as kx
    >>> space = kx.TransferHyperModel(["cat", "dog"], input_shape=(32, 32, 3))
    >>> hp = keras_tuner.HyperParameters()
    >>> space.build(hp).output_shape
    (None, 2)
    >>> sorted(hp.values)[:4]
    ['augmentation', 'backbone', 'depths', 'dropout']
    """

    def __init__(
        self,
        class_names: Sequence[str] | int,
        *,
        backbones: Sequence[Any] = ("efficientnet_lite0",),
        strategies: Sequence[StrategyName] = ("feature_extraction", "fine_tuning"),
        input_shape: tuple[int, int, int] | None = None,
        poolings: Sequence[str] = ("avg",),
        optimizers: Sequence[OptimizerName] = ("adamw",),
        learning_rate: tuple[float, float] = (1e-5, 1e-2),
        augmentations: Sequence[Strength] = ("none",),
        methods: Sequence[MethodName] = (),
        epochs: int = 10,
    ):
        super().__init__(name="transfer", tunable=True)
        self.class_names = class_names
        self.backbones = list(backbones)
        self.strategies = list(strategies)
        self.input_shape = input_shape
        self.poolings = list(poolings)
        self.optimizers = list(optimizers)
        self.learning_rate = learning_rate
        self.augmentations = list(augmentations)
        self.methods = list(methods)
        self.epochs = epochs
        check_space(self)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The model of a trial, compiled, with the flags of its strategy's first stage."""
        model = Classifier(self.backbone(hp), self.class_names, **self.head(hp))
        strategy = self.strategy(hp, len(split_into_blocks(model)))
        strategy.apply(model)
        settings = self.training(hp)
        optimizer = settings.get("optimizer") or default_optimizer(
            settings["learning_rate"], strategy.default_weight_decay
        )
        if self.methods:
            method, weight = self.method(hp)
            model = DomainAdaptation(model, method, weight=weight)
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
        """Trains the model of a trial by `kx.fine_tune`, in a stage an epoch where epochs are few.

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
        strategy = self.strategy(hp, len(split_into_blocks(trained_model(model))))
        epochs = self.epochs if epochs is None else epochs
        return fine_tune(
            model,
            train,
            validation_data,
            strategy=within(strategy, epochs),
            epochs=epochs,
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
        return choose_strategy(hp, self.strategies, blocks)

    def training(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Keyword arguments of `kx.fine_tune`; `learning_rate` has to be among them."""
        settings = {
            **choose_optimizer(hp, self.optimizers, self.learning_rate),
            **choose_pull(hp, self.strategies),
            "schedule": hp.Choice("schedule", ["cosine", "one_cycle", "constant"]),
            "label_smoothing": hp.Choice("label_smoothing", [0.0, 0.1]),
        }
        strength = hp.Choice("augmentation", self.augmentations)
        if strength != "none" and self.input_shape is not None:
            settings["augmentation"] = augmentation(strength, self.input_shape[:2], seed=0)
        return settings

    def method(self, hp: keras_tuner.HyperParameters) -> tuple[keras.layers.Layer, float]:
        """Which method of adaptation, and its weight; asked where there are `methods`."""
        return choose_method(hp, self.methods)
