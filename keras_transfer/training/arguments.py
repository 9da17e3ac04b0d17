"""Checks of what `fine_tune` is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.strategies.strategy import Strategy


def check_types(strategy: Strategy, train: tf.data.Dataset) -> None:
    """Raises a `TypeError` unless they are a strategy and a dataset."""
    if not isinstance(strategy, Strategy):
        raise TypeError(
            f"Expected `strategy` to be an object such as kx.FineTuning(). Received: {strategy!r}."
        )
    if not isinstance(train, tf.data.Dataset):
        raise TypeError(
            "Expected `train` to be a tf.data.Dataset of batches (pictures, labels), such as "
            f"kx.arrays(x, y).train. Received: {type(train).__name__}."
        )


def check_one_output(model: keras.Model, *for_one: Any) -> None:
    """Raises a `ValueError` for options that a model of several tasks does not take."""
    if not isinstance(getattr(model, "output", None), dict):
        return
    if not model.compiled or any(option is not None and option != 0 for option in for_one):
        raise ValueError(
            "Expected a model of several tasks to be compiled with a loss for each, without "
            "`augmentation`, `mixing`, `class_weight` and `label_smoothing`: do these to the data "
            f"and in the losses of the tasks. Received: model {model.name!r} with outputs "
            f"{sorted(model.output)}."
        )


def check_early_stopping(early_stopping: int | None, validation_data: Any) -> None:
    """Raises a `ValueError` if there is nothing to watch, or no patience."""
    if early_stopping is not None and (early_stopping < 1 or validation_data is None):
        raise ValueError(
            "Expected `early_stopping` to be at least 1 epoch, with `validation_data` to watch. "
            f"Received: early_stopping={early_stopping}, validation_data={validation_data}."
        )


def check_cache(cache: Any) -> None:
    """Raises a `TypeError` unless it is "auto", None or a cache."""
    if cache is not None and cache != "auto" and not isinstance(cache, FeatureCache):
        raise TypeError(
            f'Expected `cache` to be "auto", None or kx.FeatureCache(folder). Received: {cache!r}.'
        )


# What a solver takes the place of.
_OF_STEPS = (
    "epochs",
    "learning_rate",
    "optimizer",
    "block_rates",
    "augmentation",
    "mixing",
    "early_stopping",
    "checkpoints",
    "callbacks",
)


def check_solver(solver: str, cache: FeatureCache | None, given: Mapping[str, Any]) -> FeatureCache:
    """Gives the cache that the solver needs.

    Raises:
        ValueError: if there is none or no such solver, or settings of steps are given beside it.
    """
    if solver != "lbfgs":
        raise ValueError(f"Expected `solver` to be None or 'lbfgs'. Received: {solver!r}.")
    if cache is None:
        raise ValueError("Expected a cache with `solver`: it holds the features. Received: None.")
    others = {name: given[name] for name in _OF_STEPS if given[name]}
    if others or given["strategy"].num_stages != 1:
        raise ValueError(
            "Expected a strategy of one stage with `solver`, and nothing of what training by steps "
            f"takes. Received: {given['strategy']!r} with {others}."
        )
    return cache
