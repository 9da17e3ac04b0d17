"""Ordered groups of layers: the only definition of depth in the package."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence

import keras

from keras_transfer.backbones.hub_layer import HubLayer
from keras_transfer.models.graph import chunks, side_by_side

# How keras.applications and this package name the layers of one block, and the block's name.
_NAMES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"(block\d+_\d+)_(?:mixed|conv|ac)$", "{}"),  # InceptionResNetV2
        (r"(.*block_?\d+[a-z]?)(?:_|$)", "{}"),
        (r"(expanded_conv(?:_\d+)?)(?:_|$)", "{}"),  # MobileNet 2 and 3
        (r"conv_[dp]w_(\d+)(?:_|$)", "conv_{}"),  # MobileNet
        (r"(?:normal|reduction|adjust|separable)_.*?((?:stem_|reduce_)?\d+)$", "cell_{}"),  # NASNet
        (r"(stem|top)_", "{}"),
        (r"(?:[a-z_]*_)?embeddings?(?:_|$)", "embeddings"),  # of transformers
    )
)
_NORMALIZATION = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.RMSNormalization,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A group of layers that is frozen or trained as one.

    Attributes:
        name: str. What its layers' names have in common, or the name of its last layer.
        layers: tuple of keras.layers.Layer, in the order input to output.
        own: tuple of keras.Variable that belong to the backbone itself and to none of its
            layers, such as a class token; of the first block alone.
    """

    name: str
    layers: tuple[keras.layers.Layer, ...]
    own: tuple[keras.Variable, ...] = ()

    @property
    def weights(self) -> list[keras.Variable]:
        """All weights, trainable or not."""
        return [*self.own, *(weight for layer in self.layers for weight in layer.weights)]

    @property
    def num_weights(self) -> int:
        """Number of weights (scalars), trainable or not."""
        return sum(math.prod(weight.shape) for weight in self.weights)


def split_into_blocks(backbone: keras.Model) -> list[Block]:
    """Divides a backbone into blocks, in the order input to output.

    A residual or multi-branch module is never cut. Layers named after their block (as in
    keras.applications) are grouped by it; elsewhere each layer with weights starts a block.
    Layers without weights, and normalization, belong to the block before them.

    Several backbones side by side, as in `kx.Classifier([one, other], ...)`, give the blocks of
    each, named "backbone/block" and ordered by their distance from the top of their backbone as a
    share of its number of blocks. So the last blocks are the top one of every backbone, and
    what is done by depth is done to all of them.

    Args:
        backbone: keras.Model, functional or sequential; of another model, its layers in the
            order in which they were made.

    Returns:
        A list of `Block`, each with weights, together all layers with weights. Empty for a model
        without layers that have any.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", weights=None)
    >>> [block.name for block in kx.split_into_blocks(backbone)][-3:]
    ['block6d', 'block7a', 'top']
    """
    inner = side_by_side(backbone)
    if inner:
        return _merged(inner)
    blocks: list[tuple[str, list[keras.layers.Layer]]] = []
    waiting: list[keras.layers.Layer] = []
    for name, layers in _named_groups(backbone):
        if not blocks and not any(_learns(layer) for layer in layers):
            waiting += layers
        elif blocks and (name == blocks[-1][0] or _is_rest(layers)):
            blocks[-1][1].extend(layers)
        else:
            blocks.append((name, waiting + layers))
            waiting = []
    of_layers = {id(weight) for layer in backbone.layers for weight in layer.weights}
    own = tuple(weight for weight in backbone.weights if id(weight) not in of_layers)
    return [
        Block(name, tuple(layers), own if number == 0 else ())
        for number, (name, layers) in enumerate(blocks)
    ]


def flatten(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """The layer and all layers inside it; Keras has no public name for this."""
    return iter(layer._flatten_layers())


def divided_no_further(blocks: Sequence[Block]) -> str:
    """A sentence for errors on too few blocks, or nothing."""
    layers = (layer for block in blocks for layer in block.layers)
    if any(isinstance(layer, HubLayer) for layer in layers):
        return " A TF Hub module is one block: it is frozen or trained as a whole."
    return ""


def is_normalization(layer: keras.layers.Layer) -> bool:
    """Whether the layer normalizes and learns a scale or a shift."""
    return isinstance(layer, _NORMALIZATION)


def _merged(backbones: list[keras.Model]) -> list[Block]:
    placed = []
    for backbone in backbones:
        blocks = split_into_blocks(backbone)
        placed += [
            (
                (place + 1) / len(blocks),
                dataclasses.replace(block, name=f"{backbone.name}/{block.name}"),
            )
            for place, block in enumerate(blocks)
        ]
    return [block for _, block in sorted(placed, key=lambda pair: pair[0])]


def _learns(layer: keras.layers.Layer) -> bool:
    """`Normalization` holds statistics of the data; it belongs to the preprocessing."""
    return bool(layer.weights) and not isinstance(layer, keras.layers.Normalization)


def _is_rest(layers: list[keras.layers.Layer]) -> bool:
    return all(is_normalization(layer) for layer in layers if layer.weights)


def _named_groups(model: keras.Model) -> Iterator[tuple[str, list[keras.layers.Layer]]]:
    for chunk in chunks(model):
        keys = [_key(layer.name) for layer in chunk]
        if len(set(keys) - {None}) <= 1:
            yield next((key for key in keys if key), chunk[-1].name), chunk
        else:  # no narrow place inside, as in NASNet: names are all there is
            yield from _by_key(chunk, keys)


def _by_key(
    chunk: list[keras.layers.Layer], keys: list[str | None]
) -> Iterator[tuple[str, list[keras.layers.Layer]]]:
    groups: dict[str, list[keras.layers.Layer]] = {}
    last = next(key for key in keys if key)
    for layer, key in zip(chunk, keys, strict=True):
        last = key or last
        groups.setdefault(last, []).append(layer)
    yield from groups.items()


def _key(name: str) -> str | None:
    matches = ((pattern.match(name), block) for pattern, block in _NAMES)
    return next((block.format(*match.groups()) for match, block in matches if match), None)
