"""Which weights move: feature extraction and fine-tuning."""

from __future__ import annotations

import abc
import difflib
from collections.abc import Sequence
from typing import Any, Literal

import keras

from keras_transfer.models.blocks import Block, flatten, split_off_head


class Strategy(abc.ABC):
    """Decides which blocks of a backbone are trained; the head always is.

    Applied to a model it sets `trainable` flags and nothing else. As Keras fixes them at
    `compile`, compile afterwards. It works on any Keras model; see `kx.split_into_blocks`.

    Attributes:
        batch_norm: "frozen" keeps every BatchNorm layer of the backbone in inference mode, its
            statistics and scales as they were pretrained; "trainable" treats them like other
            layers. (Keras 3.15 overrides `backbone(x, training=False)` in `fit`, so the layers'
            own flags are what counts.)
        default_learning_rate: float. What `kx.fine_tune` takes unless told otherwise.
        default_weight_decay: float. The decoupled weight decay of its AdamW optimizer; each step
            it shrinks weights by this share of the learning rate.
    """

    batch_norm: Literal["frozen", "trainable"] = "frozen"
    default_learning_rate: float
    default_weight_decay: float

    @abc.abstractmethod
    def trainable_blocks(self, blocks: Sequence[Block]) -> list[Block]:
        """Those of a backbone's blocks that are to be trained."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""

    def apply(self, model: keras.Model) -> None:
        """Sets the `trainable` flag of every layer of the model.

        Args:
            model: keras.Model. Compile it afterwards.
        """
        blocks, _ = split_off_head(model)
        chosen = self.trainable_blocks(blocks)
        model.trainable = True
        for block in blocks:
            for layer in block.layers:
                layer.trainable = block in chosen
                if self.batch_norm == "frozen":
                    _freeze_batch_norm(layer)

    def summary(self, model: keras.Model) -> None:
        """Prints which blocks of the model the strategy freezes, with their numbers of weights.

        Args:
            model: keras.Model. Its flags are not touched.
        """
        from rich.console import Console
        from rich.table import Table

        blocks, head = split_off_head(model)
        chosen = self.trainable_blocks(blocks)
        table = Table("Block", "State", title=f"{type(self).__name__} of {model.name}")
        table.add_column("Weights", justify="right")
        for block in blocks:
            state = "[bold green]trainable[/]" if block in chosen else "frozen"
            if block in chosen and self.batch_norm == "frozen" and _batch_norms(block):
                state += ", BatchNorm frozen"
            table.add_row(block.name, state, f"{block.num_weights:,}")
        weights = sum(layer.count_params() for layer in head if layer.weights)
        table.add_row("head", "[bold green]trainable[/]", f"{weights:,}")
        Console().print(table)


class FeatureExtraction(Strategy):
    """Trains the head alone; the backbone is a fixed feature extractor.

    The first thing to try, and with a few dozen pictures a class often the best. Dropout and
    stochastic depth inside a backbone (EfficientNet 1 and 2, ConvNeXt) stay active while the head
    is trained, as `trainable` does not govern them in Keras.

    Reference: Razavian et al., "CNN Features off-the-shelf: an Astounding Baseline for
    Recognition", CVPR workshops 2014.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> model = kx.Classifier(backbone, 2)
    >>> kx.FeatureExtraction().apply(model)
    >>> [weight.path.split("/")[-2:] for weight in model.trainable_weights]
    [['logits', 'kernel'], ['logits', 'bias']]
    """

    # Cross-validated on the train half of the bundled pictures: more features than examples.
    default_learning_rate = 1e-2
    default_weight_decay = 1.0

    def trainable_blocks(self, blocks: Sequence[Block]) -> list[Block]:
        """None of them."""
        return []

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: none."""
        return {}


class FineTuning(Strategy):
    """Trains the head and the whole backbone, or some of its blocks.

    Reference: Yosinski et al., "How transferable are features in deep neural networks?",
    NeurIPS 2014. For `batch_norm="frozen"`: Chollet, "Transfer learning & fine-tuning", Keras
    developer guide, 2020.

    Args:
        blocks: None for all blocks; an int for the last so many (0 for the head alone); a name
            or a list of names as in `kx.split_into_blocks(backbone)`.
        batch_norm: "frozen" or "trainable"; see `Strategy`. Choose "trainable" to train a
            network from random weights.

    Raises:
        ValueError: if an argument has another value, or, when applied, the model has fewer
            blocks or none of that name.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> kx.FineTuning(blocks=1).apply(kx.Classifier(backbone, 2))
    >>> [weight.path for weight in backbone.trainable_weights]
    ['top_conv/kernel']
    """

    default_learning_rate = 3e-4
    default_weight_decay = 0.01

    def __init__(
        self,
        blocks: int | str | Sequence[str] | None = None,
        *,
        batch_norm: Literal["frozen", "trainable"] = "frozen",
    ):
        if isinstance(blocks, int) and blocks < 0:
            raise ValueError(f"Expected `blocks` to be at least 0. Received: blocks={blocks}.")
        if batch_norm not in ("frozen", "trainable"):
            raise ValueError(
                f"Expected `batch_norm` to be 'frozen' or 'trainable'. Received: {batch_norm!r}."
            )
        self.blocks = blocks
        self.batch_norm = batch_norm

    def trainable_blocks(self, blocks: Sequence[Block]) -> list[Block]:
        """All blocks, the last so many, or those named."""
        if self.blocks is None:
            return list(blocks)
        if isinstance(self.blocks, int):
            return _last(blocks, self.blocks)
        return _named(blocks, [self.blocks] if isinstance(self.blocks, str) else self.blocks)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"blocks": self.blocks, "batch_norm": self.batch_norm}


def _last(blocks: Sequence[Block], number: int) -> list[Block]:
    if number > len(blocks):
        raise ValueError(
            f"Expected `blocks` to be at most {len(blocks)}, the number of blocks of the backbone. "
            f"Received: blocks={number}."
        )
    return list(blocks[len(blocks) - number :])


def _named(blocks: Sequence[Block], names: Sequence[str]) -> list[Block]:
    known = [block.name for block in blocks]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known) or known
            raise ValueError(
                f"Expected names of blocks, for instance {near}; `kx.split_into_blocks` lists all. "
                f"Received: {name!r}."
            )
    return [block for block in blocks if block.name in names]


def _batch_norms(block: Block) -> list[keras.layers.BatchNormalization]:
    return [
        inner
        for layer in block.layers
        for inner in flatten(layer)
        if isinstance(inner, keras.layers.BatchNormalization)
    ]


def _freeze_batch_norm(layer: keras.layers.Layer) -> None:
    for inner in flatten(layer):
        if isinstance(inner, keras.layers.BatchNormalization):
            inner.trainable = False
