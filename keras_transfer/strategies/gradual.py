"""Blocks that start to move one group after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras

from keras_transfer.models.blocks import Block, divided_no_further
from keras_transfer.models.naming import check_names
from keras_transfer.strategies.strategy import BatchNorm, BlockStrategy, check_batch_norm


@keras.saving.register_keras_serializable("keras_transfer")
class GradualUnfreezing(BlockStrategy):
    """Trains one group of blocks more in every stage, until the whole backbone is trained.

    The upper blocks adapt first, before the lower ones feel the gradients of a new head. The head
    is trained in all stages; to train it alone first, put `kx.FeatureExtraction()` before this
    in a `kx.Sequence`. Between stages `kx.fine_tune` keeps the optimizer's state of the weights
    that were already trained.

    Reference: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification",
    ACL 2018.

    Args:
        stages: int, at least 1: the blocks are divided evenly into so many groups. Or the
            groups themselves, a list of lists of block names in the order in which they unfreeze;
            blocks in none of them stay frozen.
        order: "top_down" unfreezes the last blocks first, "bottom_up" the first ones. Groups that
            are named have the order in which they are given.
        batch_norm: "frozen" or "trainable"; see `Strategy`.

    Raises:
        ValueError: if an argument has another value, or, when applied, there are more stages
            than blocks or no block of that name.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> blocks = kx.split_into_blocks(backbone)
    >>> strategy = kx.GradualUnfreezing(stages=3)
    >>> [len(strategy.trainable_blocks(blocks, stage)) for stage in range(3)]
    [6, 12, 18]
    """

    def __init__(
        self,
        stages: int | Sequence[Sequence[str]] = 3,
        *,
        order: Literal["top_down", "bottom_up"] = "top_down",
        batch_norm: BatchNorm = "frozen",
    ):
        groups = stages if isinstance(stages, int) else len(stages)
        strings = [stages] if isinstance(stages, (str, int)) else stages
        if groups < 1 or isinstance(stages, bool) or any(isinstance(g, str) for g in strings):
            raise ValueError(
                "Expected `stages` to be at least 1, or a list of lists of block names. "
                f"Received: stages={stages!r}."
            )
        if order not in ("top_down", "bottom_up"):
            raise ValueError(
                f"Expected `order` to be 'top_down' or 'bottom_up'. Received: {order!r}."
            )
        check_batch_norm(batch_norm)
        self.stages = stages
        self.order = order
        self.batch_norm = batch_norm

    @property
    def num_stages(self) -> int:
        """How many groups there are."""
        return self.stages if isinstance(self.stages, int) else len(self.stages)

    def trainable_blocks(self, blocks: Sequence[Block], stage: int = 0) -> list[Block]:
        """The blocks of the groups up to this stage."""
        if not isinstance(self.stages, int):
            names = {name for group in self.stages[: stage + 1] for name in group}
            check_names([n for group in self.stages for n in group], [b.name for b in blocks])
            return [block for block in blocks if block.name in names]
        if self.stages > len(blocks):
            raise ValueError(
                f"Expected at most {len(blocks)} stages, one for each block of the backbone."
                f"{divided_no_further(blocks)} Received: stages={self.stages}."
            )
        count = round(len(blocks) * (stage + 1) / self.stages)
        first = 0 if self.order == "bottom_up" else len(blocks) - count
        return list(blocks[first : first + count])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"stages": self.stages, "order": self.order, "batch_norm": self.batch_norm}
