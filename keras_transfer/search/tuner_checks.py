"""Checks of what a tuner is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras_tuner.src.distribute.utils import has_chief_oracle


def check_settings(executions_per_trial: int, keep_models: int, overwrite: bool) -> None:
    """Raises a `ValueError` for what `kx.TransferTuner` does not take."""
    if executions_per_trial < 1 or keep_models < 1:
        raise ValueError(
            "Expected `executions_per_trial` and `keep_models` of at least 1. Received: "
            f"executions_per_trial={executions_per_trial}, keep_models={keep_models}."
        )
    if overwrite and has_chief_oracle():
        raise ValueError(
            "Expected `overwrite=False` where several processes search, each of which would remove "
            "what the others have done: remove the folder beforehand. Received: overwrite=True."
        )


def check_data(train: Any, more: Sequence[Any]) -> None:
    """Raises a `TypeError` unless it is a dataset, and nothing besides."""
    if more or not isinstance(train, tf.data.Dataset):
        raise TypeError(
            "Expected a tf.data.Dataset of batches to train on, such as "
            f"kx.arrays(x, y, validation_split=0.2).train. Received: {type(train).__name__}"
            f"{', ' if more else ''}{', '.join(type(x).__name__ for x in more)}."
        )
