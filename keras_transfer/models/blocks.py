"""Ordered groups of layers: the only definition of depth in the package."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import keras

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
    )
)
_NORMALIZATION = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A group of layers that is frozen or trained as one.

    Attributes:
        name: str. What its layers' names have in common, or the name of its last layer.
        layers: tuple of keras.layers.Layer, in the order input to output.
    """

    name: str
    layers: tuple[keras.layers.Layer, ...]

    @property
    def num_weights(self) -> int:
        """Number of weights (scalars), trainable or not."""
        return sum(layer.count_params() for layer in self.layers if layer.weights)


def split_into_blocks(backbone: keras.Model) -> list[Block]:
    """Divides a backbone into blocks, in the order input to output.

    A residual or multi-branch module is never cut. Layers named after their block (as in
    keras.applications) are grouped by it; elsewhere each layer with weights starts a block.
    Layers without weights, and normalization, belong to the block before them.

    Args:
        backbone: keras.Model, functional or sequential; of another model, its layers in the
            order in which they were made.

    Returns:
        A list of `Block`, each with weights, together all layers with weights. Empty for a model
        without weights.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", weights=None)
    >>> [block.name for block in kx.split_into_blocks(backbone)][-3:]
    ['block6d', 'block7a', 'top']
    """
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
    return [Block(name, tuple(layers)) for name, layers in blocks]


def split_off_head(model: keras.Model) -> tuple[list[Block], tuple[keras.layers.Layer, ...]]:
    """The blocks of a model's backbone, and the layers of its head.

    The backbone is the nested model with most weights. In a flat model the head is what follows
    the last feature map (or, where no feature map is to be seen, the last layer with weights).

    Args:
        model: keras.Model.

    Returns:
        A list of `Block`, and a tuple of layers in the order input to output.
    """
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model) and layer.weights]
    if nested:
        backbone = max(nested, key=lambda inner: inner.count_params())
        return split_into_blocks(backbone), tuple(x for x in model.layers if x is not backbone)
    head = _flat_head(model.layers)
    ids = {id(layer) for layer in head}
    blocks = [
        Block(block.name, tuple(layer for layer in block.layers if id(layer) not in ids))
        for block in split_into_blocks(model)
    ]
    return [block for block in blocks if block.num_weights], head


def flatten(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """The layer and all layers inside it; Keras has no public name for this."""
    return iter(layer._flatten_layers())


def _flat_head(layers: list[keras.layers.Layer]) -> tuple[keras.layers.Layer, ...]:
    start = 0
    for index, layer in enumerate(layers):
        # A layer of a subclassed model has no symbolic output.
        output = getattr(layer, "output", None)
        if output is not None and len(_tensors(output)[0].shape) >= 3:
            start = index + 1
    if start == 0:
        start = max((i for i, layer in enumerate(layers) if layer.weights), default=0)
    return tuple(layers[start:])


def _learns(layer: keras.layers.Layer) -> bool:
    """`Normalization` holds statistics of the data; it belongs to the preprocessing."""
    return bool(layer.weights) and not isinstance(layer, keras.layers.Normalization)


def _is_rest(layers: list[keras.layers.Layer]) -> bool:
    return all(isinstance(layer, _NORMALIZATION) for layer in layers if layer.weights)


def _named_groups(model: keras.Model) -> Iterator[tuple[str, list[keras.layers.Layer]]]:
    for chunk in _chunks(model):
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
    return next((block.format(match[1]) for match, block in matches if match), None)


def _chunks(model: keras.Model) -> Iterator[list[keras.layers.Layer]]:
    """Cuts the graph wherever a single tensor passes."""
    operations = getattr(model, "operations", None)
    if operations is None or isinstance(model, keras.Sequential):
        yield from ([layer] for layer in model.layers)
        return
    last_use = _last_use(model, operations)
    chunk: list[keras.layers.Layer] = []
    alive: dict[int, int] = {}
    for index, operation in enumerate(operations):
        if isinstance(operation, keras.layers.Layer):
            chunk.append(operation)
        alive |= {id(t): last_use[id(t)] for t in _tensors(operation.output) if id(t) in last_use}
        alive = {tensor: last for tensor, last in alive.items() if last > index}
        if len(alive) <= 1 and chunk:
            yield chunk
            chunk = []


def _last_use(model: keras.Model, operations: list[keras.Operation]) -> dict[int, int]:
    last: dict[int, int] = {}
    for index, operation in enumerate(operations):
        if not isinstance(operation, keras.layers.InputLayer):
            last |= {id(tensor): index for tensor in _tensors(operation.input)}
    return last | {id(tensor): len(operations) for tensor in model.outputs}


def _tensors(structure: object) -> list[keras.KerasTensor]:
    return keras.tree.flatten(structure)
