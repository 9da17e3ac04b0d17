"""Which blocks move: none of them, all, or some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_transfer.models.blocks import Block, divided_no_further
from keras_transfer.models.naming import check_names
from keras_transfer.strategies.strategy import BatchNorm, BlockStrategy, check_batch_norm


@keras.saving.register_keras_serializable("keras_transfer")
class FeatureExtraction(BlockStrategy):
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
    default_learning_rate = 3e-3
    default_weight_decay = 1.0

    def trainable_blocks(self, blocks: Sequence[Block], stage: int = 0) -> list[Block]:
        """None of them."""
        return []

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: none."""
        return {}


@keras.saving.register_keras_serializable("keras_transfer")
class FineTuning(BlockStrategy):
    """Trains the head and the whole backbone, or some of its blocks.

    Reference: Yosinski et al., "How transferable are features in deep neural networks?",
    NeurIPS 2014. The first blocks alone: Lee et al., "Surgical Fine-Tuning Improves Adaptation
    to Distribution Shifts", ICLR 2023. For `batch_norm="frozen"`: Chollet, "Transfer learning &
    fine-tuning", Keras developer guide, 2020.

    Args:
        blocks: None for all blocks; an int for the last so many (0 for the head alone); a name
            or a list of names as in `kx.split_into_blocks(backbone)`.
        first: int, at least 1: the first so many blocks instead, where pictures look different
            but show the same things. None to go by `blocks`.
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

    def __init__(
        self,
        blocks: int | str | Sequence[str] | None = None,
        *,
        first: int | None = None,
        batch_norm: BatchNorm = "frozen",
    ):
        if isinstance(blocks, int) and blocks < 0:
            raise ValueError(f"Expected `blocks` to be at least 0. Received: blocks={blocks}.")
        if first is not None and (first < 1 or blocks is not None):
            raise ValueError(
                "Expected `first` to be at least 1, and not both `first` and `blocks`. "
                f"Received: first={first}, blocks={blocks}."
            )
        check_batch_norm(batch_norm)
        self.blocks = blocks
        self.first = first
        self.batch_norm = batch_norm

    def trainable_blocks(self, blocks: Sequence[Block], stage: int = 0) -> list[Block]:
        """All blocks, the last or first so many, or those named."""
        if self.first is not None:
            return list(blocks[: _at_most(blocks, self.first, "first")])
        if self.blocks is None:
            return list(blocks)
        if isinstance(self.blocks, int):
            return list(blocks[len(blocks) - _at_most(blocks, self.blocks, "blocks") :])
        names = [self.blocks] if isinstance(self.blocks, str) else self.blocks
        check_names(names, [block.name for block in blocks])
        return [block for block in blocks if block.name in names]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"blocks": self.blocks, "first": self.first, "batch_norm": self.batch_norm}


def _at_most(blocks: Sequence[Block], number: int, argument: str) -> int:
    if number > len(blocks):
        raise ValueError(
            f"Expected `{argument}` to be at most {len(blocks)}, the number of blocks of the "
            f"backbone.{divided_no_further(blocks)} Received: {argument}={number}."
        )
    return number
