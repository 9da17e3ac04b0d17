"""One nested model for the features of several depths, or of several backbones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import keras
import numpy as np

from keras_transfer.models.blocks import Block, split_into_blocks
from keras_transfer.models.graph import side_by_side
from keras_transfer.models.naming import check_names

# The depths of one backbone; a number for so many, None for its output.
Depths = str | Sequence[str] | int | None


def feature_model(
    backbone: keras.Model | Sequence[keras.Model], depths: Depths | Sequence[Depths]
) -> keras.Model:
    """A model from pixels to the features that are to be shared, on the backbones' own layers.

    Args:
        backbone: keras.Model, or a sequence of several that take the same pixels.
        depths: names of blocks as in `kx.split_into_blocks(backbone)`; an int for up to so many
            blocks, evenly spaced from the middle of the network to its end; None for the backbone's
            output. For several backbones, one such entry for each, or an int for all.

    Returns:
        The backbone itself, where its output is all that is asked for; else a model of the same
        name with an output for each depth, input to output, without the layers above the last;
        for several backbones, a model in which these stand side by side.

    Raises:
        ValueError: if a depth is not there, a backbone has a graph that cannot be followed, or
            the backbones do not fit together.
    """
    if isinstance(backbone, keras.Model):
        return _at_depths(backbone, cast(Depths, depths))
    backbones = list(backbone)
    if depths is None or isinstance(depths, int):
        entries: list[Depths] = [depths] * len(backbones)
    else:
        entries = list(depths)
    if not backbones or len({id(one) for one in backbones}) < len(backbones):
        raise ValueError(
            "Expected a backbone or several different ones; `depths` takes several features from "
            f"one. Received: {[one.name for one in backbones]}."
        )
    if isinstance(depths, str) or len(entries) != len(backbones):
        raise ValueError(
            "Expected `depths` to have one entry for each backbone: names of its blocks, or None "
            f"for its output. Received: depths={depths!r} for {len(backbones)} backbones."
        )
    parts = [_at_depths(one, entry) for one, entry in zip(backbones, entries, strict=True)]
    return parts[0] if len(parts) == 1 else _together(parts)


def feature_names(features: keras.Model) -> list[str]:
    """A name for each output of a `feature_model`, a loaded one included.

    The name of the block, or of the backbone; "backbone/block" where several backbones have
    several depths.
    """
    inner = side_by_side(features)
    if inner:
        return [
            name if len(one.outputs) == 1 else f"{one.name}/{name}"
            for one in inner
            for name in feature_names(one)
        ]
    if len(features.outputs) == 1:
        return [features.name]
    ends = {end_of(features, block).name: block.name for block in split_into_blocks(features)}
    return [ends.get(name, name) for name in features.output_names]


def _at_depths(backbone: keras.Model, depths: Depths) -> keras.Model:
    if depths is None:
        return backbone
    if not hasattr(backbone, "outputs") or side_by_side(backbone):
        raise ValueError(
            "Expected one functional or sequential backbone, to take features from its depths. "
            f"Received: {type(backbone).__name__} {backbone.name!r}."
        )
    blocks = split_into_blocks(backbone)
    if isinstance(depths, int):
        blocks = _spaced(blocks, depths)
    else:
        blocks = _named(blocks, [depths] if isinstance(depths, str) else depths)
    outputs = [end_of(backbone, block).output for block in blocks]
    # Of a sequential model `input` may be that of another model that it is in.
    inputs = backbone.inputs[0] if len(backbone.inputs) == 1 else backbone.input
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name=backbone.name)


def _named(blocks: Sequence[Block], names: Sequence[str]) -> list[Block]:
    check_names(names, [block.name for block in blocks])
    if not names:
        raise ValueError(
            "Expected at least one name in `depths`; None takes the backbone's output. "
            f"Received: {list(names)}."
        )
    return [block for block in blocks if block.name in names]


def _spaced(blocks: Sequence[Block], number: int) -> list[Block]:
    """From the last block down to the middle one, in like steps."""
    if number < 1:
        raise ValueError(f"Expected `depths` to be at least 1. Received: depths={number}.")
    middle, last = len(blocks) // 2, len(blocks) - 1
    number = min(number, len(blocks) - middle)
    return [blocks[place] for place in np.linspace(last, middle, number).round().astype(int)[::-1]]


def end_of(backbone: keras.Model, block: Block) -> keras.Operation:
    """The last layer of the block, or of the plain operations that follow it: `y = x + y`."""
    operations = getattr(backbone, "operations", backbone.layers)
    start = operations.index(block.layers[-1])
    after = itertools.takewhile(
        lambda operation: not isinstance(operation, keras.layers.Layer), operations[start + 1 :]
    )
    return [operations[start], *after][-1]


def _together(parts: list[keras.Model]) -> keras.Model:
    shape = _common_shape(parts)
    names: list[str] = []
    pixels = keras.Input(shape, name="pixels", dtype="float32")
    outputs = []
    for part in parts:
        number = sum(other.name == part.name for other in parts[: len(names)])
        names.append(f"{part.name}_{number + 1}" if number else part.name)
        # Always a model of its own: a backbone that was called elsewhere stays as it is.
        alone = keras.Model(part.inputs[0], part.outputs, name=names[-1])
        outputs += keras.tree.flatten(alone(pixels))
    return keras.Model(pixels, outputs, name="_".join(names))


def _common_shape(parts: list[keras.Model]) -> tuple[int | None, ...]:
    if any(len(part.inputs) > 1 for part in parts):
        raise ValueError(
            "Expected backbones for pictures, to put several side by side. "
            f"Received: {[(part.name, part.input_shape) for part in parts]}."
        )
    shapes = {part.name: part.inputs[0].shape[1:] for part in parts}
    sizes = [{size for size in column if size} for column in zip(*shapes.values(), strict=False)]
    if len({len(shape) for shape in shapes.values()}) > 1 or any(len(s) > 1 for s in sizes):
        raise ValueError(
            "Expected backbones that take the same pixels: load them with one `input_shape`. "
            f"Received: {shapes}."
        )
    return tuple(next(iter(size), None) for size in sizes)
