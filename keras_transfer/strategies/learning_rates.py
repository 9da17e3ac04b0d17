"""Learning rates by depth: a factor for each weight, and the optimizer that applies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from keras_transfer.models.backbone_and_head import split_off_head, weights_of_loss
from keras_transfer.models.naming import check_names
from keras_transfer.strategies.layerwise_optimizer import LayerwiseOptimizer
from keras_transfer.strategies.proximal import Proximal


def layerwise(
    optimizer: keras.optimizers.Optimizer,
    model: keras.Model,
    *,
    layer_decay: float = 1.0,
    block_rates: Mapping[str, float] | None = None,
    proximal: Proximal | None = None,
) -> LayerwiseOptimizer:
    """Gives every block of a model a learning rate of its own, within one optimizer.

    Lower blocks hold what all pictures share and should move less than upper ones. Apply the
    strategy, then call this, then compile. `kx.fine_tune(..., layer_decay=0.75)` does all three,
    and leaves a plain optimizer; a file that is saved with this one needs this package to load, or
    `compile=False`.

    Reference: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification",
    ACL 2018 (discriminative fine-tuning); Bao et al., "BEiT", ICLR 2022 (layer-wise decay).

    Args:
        optimizer: keras.optimizers.Optimizer, not yet built. Its schedule, clipping, weight decay
            and moving averages keep working.
        model: keras.Model whose `trainable` flags are set.
        layer_decay: float above 0 up to 1. The head has the optimizer's learning rate, the last
            block this share of it, the block before it this share of that, and so on.
        block_rates: dict from names as in `kx.split_into_blocks(backbone)`, or "head", to
            the factor of the learning rate, above 0; it replaces that of `layer_decay`.
        proximal: `kx.Proximal`, a step towards the start after every update.

    Returns:
        A `kx.LayerwiseOptimizer`.

    Raises:
        ValueError: if `layer_decay` or a factor is out of range, or there is no such block.

    Example:

    >>> import keras
    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> model = kx.Classifier(backbone, 2)
    >>> kx.FineTuning(blocks=2).apply(model)
    >>> optimizer = kx.layerwise(keras.optimizers.Adam(1e-3), model, layer_decay=0.5)
    >>> sorted(set(optimizer.rates))
    [0.25, 0.5, 1.0]
    >>> model.compile(optimizer, "sparse_categorical_crossentropy")
    """
    weights = model.trainable_variables
    rates, in_head = rates_by_depth(model, layer_decay, block_rates or {}, weights)
    return LayerwiseOptimizer(optimizer, rates, proximal=proximal, in_head=in_head, weights=weights)


def rates_by_depth(
    model: keras.Model,
    layer_decay: float,
    block_rates: Mapping[str, float],
    trained: Sequence[keras.Variable],
) -> tuple[list[float], list[bool | None]]:
    """For each weight that is trained the factor of its learning rate, and if the head has it.

    None for a weight of the loss, such as the model does not have: neither of the head nor of the
    backbone, it is trained at the rate of the former.
    """
    blocks, _ = split_off_head(model)
    factors = block_factors([block.name for block in blocks], layer_decay, block_rates)
    block_of = {id(weight): block.name for block in blocks for weight in block.weights}
    of_model = {id(weight) for weight in model.weights} - weights_of_loss(model)
    names = [block_of.get(id(weight), "head") for weight in trained]
    in_head = [
        name == "head" if id(weight) in of_model else None
        for weight, name in zip(trained, names, strict=True)
    ]
    return [factors[name] for name in names], in_head


def block_factors(
    names: Sequence[str], layer_decay: float, block_rates: Mapping[str, float]
) -> dict[str, float]:
    """The factor of each block's learning rate and of the "head"'s.

    Raises:
        ValueError: if `layer_decay` or a factor is out of range, or there is no such block.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(
            f"Expected `layer_decay` above 0 and at most 1. Received: layer_decay={layer_decay}."
        )
    check_names(block_rates, [*names, "head"])
    wrong = {name: rate for name, rate in block_rates.items() if not 0 < rate < float("inf")}
    if wrong:
        raise ValueError(
            "Expected factors above 0 in `block_rates`; to freeze blocks name those to train in "
            f"kx.FineTuning. Received: {wrong}."
        )
    # Of several backbones, whose blocks are named "backbone/block", each has its own depth.
    owners = [name.rpartition("/")[0] for name in names]
    above = [owners[depth + 1 :].count(owner) for depth, owner in enumerate(owners)]
    by_depth = {name: layer_decay ** (1 + a) for name, a in zip(names, above, strict=True)}
    return {**by_depth, "head": 1.0, **block_rates}
