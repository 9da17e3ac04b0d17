"""Which part of a model is the backbone, and which the head."""

from __future__ import annotations

import dataclasses

import keras

from keras_transfer.models.blocks import Block, split_into_blocks
from keras_transfer.models.graph import tensors, upstream


def split_off_head(model: keras.Model) -> tuple[list[Block], tuple[keras.layers.Layer, ...]]:
    """The blocks of a model's backbone, and the layers of its head.

    For the backbone see `backbone_of`. In a flat model the head is what follows the last feature
    map (or, where no feature map is to be seen, the last layer with weights).

    Args:
        model: keras.Model.

    Returns:
        A list of `Block`, and a tuple of layers in the order input to output.

    Raises:
        ValueError: if the model is one that trains another, such as `kx.Distillation`, or it has
            several backbones side by side.
    """
    check_not_wrapper(model)
    backbone = backbone_of(model)
    if backbone is not None:
        return split_into_blocks(backbone), tuple(x for x in model.layers if x is not backbone)
    head = _flat_head(model.layers)
    ids = {id(layer) for layer in head}
    blocks = [
        dataclasses.replace(block, layers=tuple(x for x in block.layers if id(x) not in ids))
        for block in split_into_blocks(model)
    ]
    return [block for block in blocks if block.num_weights], head


def backbone_of(model: keras.Model) -> keras.Model | None:
    """The nested model that is the backbone, or None for a flat model.

    `model.backbone` if there is one, as in KerasHub's models and `kx.JointModel`. Else the nested
    model with most weights, but for those whose outputs are the model's: they are heads.

    Raises:
        ValueError: if several nested models stand side by side.
    """
    named = getattr(model, "backbone", None)
    if any(layer is named for layer in model.layers):
        return named
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model) and layer.weights]
    if len(nested) > 1 and hasattr(model, "outputs"):
        nested = _one_path(model, nested)
    return max(nested, key=lambda inner: inner.count_params(), default=None)


def weights_of_loss(model: keras.Model) -> set[int]:
    """The ids of weights that are of neither: those by which a `kx.JointModel` weighs losses.

    To pull them to zero would be to pull the tasks to equal weights.
    """
    return {id(weight) for weight in getattr(model, "log_variances", {}).values()}


def check_not_wrapper(model: keras.Model) -> None:
    """Refuses a model that trains another, and would have that for its backbone.

    Raises:
        ValueError: if the model says by an attribute `trains` that it is one.
    """
    if hasattr(model, "trains"):
        raise ValueError(
            f"Expected the model that is trained: apply strategies to `.{model.trains}` of "
            f"{type(model).__name__}, then compile and fit the latter. Received: {model.name!r}."
        )


def _flat_head(layers: list[keras.layers.Layer]) -> tuple[keras.layers.Layer, ...]:
    start = 0
    for index, layer in enumerate(layers):
        # A layer of a subclassed model has no symbolic output.
        output = getattr(layer, "output", None)
        if output is not None and len(tensors(output)[0].shape) >= 3:
            start = index + 1
    if start == 0:
        start = max((i for i, layer in enumerate(layers) if layer.weights), default=0)
    return tuple(layers[start:])


def _one_path(model: keras.Model, nested: list[keras.Model]) -> list[keras.Model]:
    """Those before the heads, each of which feeds the next."""
    above, of_outputs = upstream(model, nested)
    found = [inner for inner in nested if id(inner) not in of_outputs] or nested
    for place, one in enumerate(found):
        for other in found[place + 1 :]:
            if id(one) not in above[id(other)] and id(other) not in above[id(one)]:
                raise ValueError(
                    "Expected one backbone: put those that stand side by side into one, as "
                    "kx.Classifier([one, other], ...) does, or name the one to adapt by setting "
                    f"`model.backbone`. Received: {[inner.name for inner in found]}."
                )
    return found
