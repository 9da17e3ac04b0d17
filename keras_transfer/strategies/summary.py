"""A table of what a strategy trains."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import keras

from keras_transfer.models.backbone_and_head import split_off_head
from keras_transfer.models.blocks import Block, flatten
from keras_transfer.strategies.strategy import Strategy, unfreeze


def print_summary(strategy: Strategy, model: keras.Model) -> None:
    """Prints the blocks of the model and what each stage of the strategy does with them."""
    from rich.console import Console
    from rich.table import Table

    blocks, head = split_off_head(model)
    rows = [*blocks, Block("head", head)]
    table = Table("Block", title=f"{type(strategy).__name__} of {model.name}")
    table.add_column("Weights", justify="right")
    columns = []
    with _flags_kept(model):
        unfreeze(model)
        everything = [_trained(row) for row in rows]
        for stage in range(strategy.num_stages):
            table.add_column("State" if strategy.num_stages == 1 else f"Stage {stage + 1}")
            strategy.apply(model, stage)
            columns.append([_state(*pair) for pair in zip(rows, everything, strict=True)])
    for number, row in enumerate(rows):
        table.add_row(row.name, f"{row.num_weights:,}", *(column[number] for column in columns))
    Console().print(table)


def _trained(block: Block) -> dict[int, int]:
    """The size of each weight of the block that is trained."""
    layers = [w for layer in block.layers for w in layer.trainable_variables]
    weights = [*(weight for weight in block.own if weight.trainable), *layers]
    return {id(weight): math.prod(weight.shape) for weight in weights}


def _state(block: Block, everything: dict[int, int]) -> str:
    trained = _trained(block)
    if not trained:
        return "frozen"
    if len(trained) == len(everything):
        return "[bold green]trainable[/]"
    layers = [inner for layer in block.layers for inner in flatten(layer)]
    batch_norms = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    if len(trained) + sum(x.scale + x.center for x in batch_norms) == len(everything):
        return "[bold green]trainable[/], BatchNorm frozen"
    return f"[bold green]{sum(trained.values()):,} trainable[/]"


@contextlib.contextmanager
def _flags_kept(model: keras.Model) -> Iterator[None]:
    layers = [(layer, layer.trainable) for layer in flatten(model)]
    weights = [(weight, weight.trainable) for weight in model.variables]
    try:
        yield
    finally:
        for thing, trainable in (*layers, *weights):  # a layer sets the flags of all inside it
            thing.trainable = trainable
