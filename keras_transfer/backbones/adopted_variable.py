"""Keras variables over variables of TensorFlow that exist already."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class AdoptedVariable(keras.Variable):
    """A Keras variable over a tf.Variable that exists already, instead of a copy of it."""

    def __init__(self, variable: tf.Variable, *, trainable: bool):
        self._given = variable
        full = variable.name.partition(":")[0]
        super().__init__(
            lambda shape, dtype: None,  # never called, see below
            shape=tuple(variable.shape),
            dtype=variable.dtype.name,
            trainable=trainable,
            autocast=False,
            name=full.rpartition("/")[2],  # such as "bias", by which strategies may go
        )
        self._path = full  # which no other weight of the module has

    def _initialize_with_initializer(self, initializer: Any) -> None:
        self._value = self._given

    def adopt(self, variable: tf.Variable) -> None:
        """Takes another variable in the place of its own."""
        # Optimizers know variables by it, also those that were built before.
        ours, other = (getattr(v, "_primary", v) for v in (self._value, variable))
        other._unique_id = ours._unique_id
        self._value = self._given = variable


def placeholder(name: str, shape: list[int], dtype: str, trainable: bool) -> AdoptedVariable:
    """A weight whose module is not there yet."""
    return AdoptedVariable(tf.Variable(tf.zeros(shape, dtype), name=name), trainable=trainable)
