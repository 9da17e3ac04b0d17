"""Runs a frozen part, and checks that an example's features are its own."""

from __future__ import annotations

import threading
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.models.exactness import NotExactError

# Of the largest number; padding that a layer does not heed makes a difference of its own size.
_ROUNDING = 1e-2


class Runner:
    """A frozen part as a function of batches of any length, traced once.

    Once more where batches differ in another dimension, too, as those of padded texts do.

    Args:
        frozen_part: functional.
    """

    def __init__(self, frozen_part: keras.Model):
        def run(pictures: Any) -> list[tf.Tensor]:
            return keras.tree.flatten(frozen_part(pictures, training=False))

        self._run = tf.function(run, reduce_retracing=True, jit_compile=False, autograph=False)
        self._traced: dict[str, tuple[Any, Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, pictures: Any) -> list[tf.Tensor]:
        """The features of a batch."""
        given = tf.nest.map_structure(_any_length, pictures)
        kind = str(tf.nest.map_structure(lambda spec: (spec.dtype, spec.shape.rank), given))
        with self._lock:
            specs, run = self._traced.get(kind, (None, None))
            if not _covers(specs, given):
                specs = given if specs is None else tf.nest.map_structure(_common, specs, given)
                run = self._run.get_concrete_function(specs)
                self._traced[kind] = (specs, run)
        return run(pictures)


def check_padding(run: Runner, padded_twice: tuple[Any, Any]) -> None:
    """Checks that the features of an example do not depend on how long others in its batch are.

    Args:
        run: a frozen part.
        padded_twice: see `Source`.

    Raises:
        NotExactError: if they do, by more than rounding.
    """
    few, more = (run(batch) for batch in padded_twice)
    for one, other in zip(few, more, strict=True):
        one = tf.cast(one, tf.float32).numpy()
        difference = np.abs(one - tf.cast(other, tf.float32).numpy()[: len(one)])
        if difference.max(initial=0) > _ROUNDING * np.abs(one).max(initial=0):
            raise NotExactError(
                "Expected features of a text that do not depend on the padding of its batch, as "
                "layers give them that heed the padding mask. "
                f"Received: features that differ by {difference.max():.3g}."
            )


def _any_length(part: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *part.shape[1:]], part.dtype)


def _covers(specs: Any, given: Any) -> bool:
    """Whether a function for these takes those."""
    if specs is None:
        return False
    pairs = zip(tf.nest.flatten(specs), tf.nest.flatten(given), strict=True)
    return all(spec.is_compatible_with(one) for spec, one in pairs)


def _common(spec: tf.TensorSpec, given: tf.TensorSpec) -> tf.TensorSpec:
    return spec.most_specific_common_supertype([given])
