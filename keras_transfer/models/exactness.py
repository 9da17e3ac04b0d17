"""Which layers do something else while a model is trained, though their weights are frozen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_transfer.models.blocks import flatten

# Layers of these packages keep what is random or moves in variables that Keras lists, and their
# code changes with their versions alone.
KNOWN_PACKAGES = ("keras", "keras_hub", "keras_transfer")
# What Keras and its users call the share that is dropped.
_RATES = ("rate", "drop_rate", "drop_path_rate", "dropout", "recurrent_dropout")


class NotExactError(ValueError):
    """Running the frozen part once would not give what training gives, or cannot be done."""


class NothingFrozenError(NotExactError):
    """There is no frozen part, or nothing else."""


def is_known(thing: Any) -> bool:
    """Whether a class or a function is of Keras, KerasHub or this package."""
    return thing.__module__.split(".")[0] in KNOWN_PACKAGES


def trains_plainly(model: keras.Model) -> bool:
    """Whether `fit` does with a model what it does with its graph: it is of no class of its own."""
    return type(model).__module__.split(".")[0] == "keras"


def trained_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Those that a model around the layer trains: it goes by each weight's own flag.

    `layer.trainable_weights` is empty where the layer's flag is off, whatever is inside it.
    """
    return [weight for weight in layer.weights if weight.trainable]


def frozen_but_for_statistics(layer: keras.layers.Layer) -> bool:
    """Whether no weight is trained, or only those of BatchNorm layers."""
    of_batch_norm = {id(w) for part in _batch_norms(layer) for w in part.weights}
    return all(id(weight) in of_batch_norm for weight in trained_weights(layer))


def change_while_training(layer: keras.layers.Layer) -> str | None:
    """Why a frozen layer gives something else from one epoch to the next; None if it does not.

    Args:
        layer: keras.layers.Layer, with all layers inside it.

    Returns:
        The reason in words, with the name of the layer to change.
    """
    for part in _batch_norms(layer):
        if part.trainable:
            return f"the statistics of BatchNorm {part.name!r} move; set its `trainable = False`"
    for part in flatten(layer):
        if _is_random(part):
            return f"{part.name!r} ({type(part).__name__}) is random while training"
        if getattr(part, "stateful", False) or isinstance(part, keras.layers.SpectralNormalization):
            return f"{part.name!r} ({type(part).__name__}) keeps a state from batch to batch"
        if getattr(part, "activity_regularizer", None) is not None:
            return f"{part.name!r} adds a loss, its `activity_regularizer`"
    return None


def check_by_running(model: keras.Model) -> str | None:
    """Runs layers of unknown packages in both modes: why they differ, or None.

    Nothing is run where all layers are known. No variable of the model changes.

    Args:
        model: functional, frozen.
    """
    unknown = [layer.name for layer in flatten(model) if _is_unknown(layer)]
    if not unknown:
        return None
    batch = keras.tree.map_structure(_example, model.input)
    state = (
        [weight.value for weight in model.trainable_variables],
        [weight.value for weight in model.non_trainable_variables],
    )
    try:
        runs = [model.stateless_call(*state, batch, training=mode) for mode in (False, True, True)]
    except Exception as error:  # of a layer that somebody wrote
        return f"one of {unknown} cannot be tried on noise: {error}"
    plain, *others = [keras.tree.flatten([outputs, moved]) for outputs, moved in runs]
    unmoved = all(map(_equal, state[1], runs[1][1]))
    if unmoved and all(_equal(a, b) for other in others for a, b in zip(plain, other, strict=True)):
        return None
    return f"one of {unknown} gives or keeps something else while training"


def _batch_norms(layer: keras.layers.Layer) -> Iterator[keras.layers.BatchNormalization]:
    return (x for x in flatten(layer) if isinstance(x, keras.layers.BatchNormalization))


def _is_random(layer: keras.layers.Layer) -> bool:
    """By its seeds, which Keras lists as variables that are no weights."""
    inside = {id(v) for part in flatten(layer) if part is not layer for v in part.variables}
    known = inside | {id(weight) for weight in layer.weights}
    if all(id(variable) in known for variable in layer.variables):
        return False
    rates = [
        rate for name in _RATES if isinstance(rate := getattr(layer, name, None), (int, float))
    ]
    return not rates or any(rates)


def _is_unknown(layer: keras.layers.Layer) -> bool:
    return not is_known(type(layer)) or isinstance(layer, keras.layers.Lambda)


def _example(tensor: keras.KerasTensor) -> np.ndarray:
    """Two examples, noise for numbers and small counts for ids."""
    shape = [2, *(size or 16 for size in tensor.shape[1:])]
    random = np.random.default_rng(0)
    if keras.backend.is_float_dtype(tensor.dtype):
        return random.normal(size=shape).astype("float32")
    return random.integers(0, 2, shape).astype(tensor.dtype)


def _equal(one: object, other: object) -> bool:
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))
