"""What every strategy has: stages, each of which sets `trainable` flags."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import keras

from keras_transfer.backbones.hub_layer import HubLayer
from keras_transfer.models.backbone_and_head import split_off_head
from keras_transfer.models.blocks import Block, flatten

BatchNorm = Literal["frozen", "trainable"]


class Strategy(abc.ABC):
    """Decides which weights of a model are trained, in one stage or several.

    Applied to a model it sets `trainable` flags and nothing else. As Keras fixes them at
    `compile`, compile afterwards, also between stages. It works on any Keras model; see
    `kx.split_into_blocks`.

    Attributes:
        batch_norm: "frozen" keeps every BatchNorm layer of the backbone in inference mode, its
            statistics and scales as they were pretrained; "trainable" treats them like other
            layers. (Keras 3.15 overrides `backbone(x, training=False)` in `fit`, so the layers'
            own flags are what counts.)
        default_learning_rate: float. What `kx.fine_tune` takes unless told otherwise.
        default_weight_decay: float. The decoupled weight decay of its AdamW optimizer; each step
            it shrinks weights by this share of the learning rate.
    """

    batch_norm: BatchNorm = "frozen"
    default_learning_rate: float = 3e-4
    default_weight_decay: float = 0.01

    @property
    def num_stages(self) -> int:
        """How many times flags are set, the model compiled and trained."""
        return 1

    @abc.abstractmethod
    def apply(self, model: keras.Model, stage: int = 0) -> None:
        """Sets the `trainable` flag of every layer of the model.

        Args:
            model: keras.Model. Compile it afterwards.
            stage: int from 0 to `num_stages` - 1.

        Raises:
            ValueError: if there is no such stage, the model has not the blocks that are asked
                for, or nothing would be trained.
        """

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Strategy:
        """Makes the strategy from `get_config()`."""
        return cls(**config)

    def __repr__(self) -> str:
        """As it is written in code."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"

    def parts(self) -> list[Part]:
        """What `kx.fine_tune` does one after the other."""
        return [Part(self)]

    def summary(self, model: keras.Model) -> None:
        """Prints which blocks of the model are trained in each stage.

        Args:
            model: keras.Model. Its flags are afterwards as before.
        """
        from keras_transfer.strategies.summary import print_summary

        print_summary(self, model)


@dataclasses.dataclass(frozen=True)
class Part:
    """A strategy within a `kx.Sequence`, with its own settings.

    Args:
        strategy: kx.Strategy.
        epochs: int, for all its stages together, or None for a share of `fine_tune`'s.
        learning_rate: float, or None for `fine_tune`'s, else the strategy's default.
        batch_size: int, or None for the dataset's.

    Raises:
        TypeError: if `strategy` is none.
        ValueError: if a number is not above 0, or there are fewer epochs than stages.

    Example:

    >>> import keras_transfer as kx
    >>> kx.Part(kx.FineTuning(blocks=3), epochs=5, batch_size=16).epochs
    5
    """

    strategy: Strategy
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        """Checks the settings."""
        if not isinstance(self.strategy, Strategy):
            raise TypeError(f"Expected a kx.Strategy. Received: {self.strategy!r}.")
        for name in ("epochs", "learning_rate", "batch_size"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"Expected `{name}` above 0. Received: {name}={value}.")
        if self.epochs is not None and self.epochs < self.strategy.num_stages:
            raise ValueError(
                "Expected at least one epoch for each stage of the strategy. Received: "
                f"epochs={self.epochs} for {self.strategy.num_stages} stages."
            )


class BlockStrategy(Strategy):
    """A strategy that trains the head and, in each stage, some blocks of the backbone.

    Attributes:
        batch_norm: see `Strategy`, as the others.
    """

    @abc.abstractmethod
    def trainable_blocks(self, blocks: Sequence[Block], stage: int = 0) -> list[Block]:
        """Those of a backbone's blocks that are to be trained in a stage."""

    def apply(self, model: keras.Model, stage: int = 0) -> None:
        """Sets the `trainable` flag of every layer; see `Strategy`."""
        check_stage(self, stage)
        blocks, _ = split_off_head(model)
        chosen = self.trainable_blocks(blocks, stage)
        _check_can_train(self, chosen)
        unfreeze(model)
        for block in blocks:
            for layer in block.layers:
                layer.trainable = block in chosen
                if self.batch_norm == "frozen":
                    freeze_batch_norm(layer)
            for weight in block.own:
                weight.trainable = block in chosen
        check_something_trains(self, model)


def check_batch_norm(batch_norm: str) -> None:
    """Raises a ValueError unless it is one of the two ways."""
    if batch_norm not in ("frozen", "trainable"):
        raise ValueError(
            f"Expected `batch_norm` to be 'frozen' or 'trainable'. Received: {batch_norm!r}."
        )


def check_stage(strategy: Strategy, stage: int) -> None:
    """Raises a ValueError if the strategy has no such stage."""
    if not 0 <= stage < strategy.num_stages:
        raise ValueError(
            f"Expected `stage` from 0 to {strategy.num_stages - 1}, as the strategy has "
            f"{strategy.num_stages}. Received: stage={stage}."
        )


def check_something_trains(strategy: Strategy, model: keras.Model) -> None:
    """Raises a ValueError if no weight of the model is trained."""
    if not model.trainable_variables:
        raise ValueError(
            "Expected the strategy to leave something to train: put a head on the backbone "
            "(kx.Classifier), or choose another strategy. Received: "
            f"{type(strategy).__name__} on model {model.name!r} with {len(model.weights)} "
            "weights, all of them frozen."
        )


def _check_can_train(strategy: Strategy, blocks: Sequence[Block]) -> None:
    for layer in (layer for block in blocks for layer in block.layers):
        if isinstance(layer, HubLayer) and layer.cannot_train:
            raise ValueError(
                f"Expected a strategy that leaves layer {layer.name!r} frozen, such as "
                f"kx.FeatureExtraction: {layer.cannot_train}. "
                f"Received: {type(strategy).__name__}."
            )


def unfreeze(model: keras.Model) -> None:
    """Makes every layer and weight trainable that can be.

    Setting `trainable` to what a layer has already does nothing in Keras 3, so weights that were
    frozen one by one would stay frozen; hence off and on again, layer by layer.
    """
    for layer in flatten(model):
        layer.trainable = False
        layer.trainable = True
        if isinstance(layer, HubLayer):
            layer.trainable = layer.cannot_train is None
            layer.training_mode = True


def freeze_batch_norm(layer: keras.layers.Layer) -> None:
    """Freezes the layer if it is a BatchNorm, and those inside it.

    A TF Hub module tells no BatchNorm from other layers; one that may have some runs as in
    inference.
    """
    for inner in flatten(layer):
        if isinstance(inner, keras.layers.BatchNormalization):
            inner.trainable = False
        elif isinstance(inner, HubLayer) and inner.keeps_statistics:
            inner.training_mode = False
