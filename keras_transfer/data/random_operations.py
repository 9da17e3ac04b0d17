"""Some of several random changes, chosen anew for each picture."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_transfer")
class RandomOperations(keras.layers.Layer):
    """Applies some of the given layers to each picture, one after the other.

    Keras's own `RandAugment` chooses once for a whole batch, computes every operation and keeps
    the chosen ones, and has a single strength: where it rotates by 30 degrees it leaves one bit
    of each color and inverts nearly all pixels.

    Args:
        operations: list of Keras layers that change pictures at random.
        count: int. How many of them each picture goes through, chosen with replacement.
        seed: int, or None for another sequence each time.
        name: str, as for every Keras layer.
        dtype: dtype or policy, as for every Keras layer.
    """

    def __init__(
        self,
        operations: Sequence[keras.layers.Layer],
        count: int = 2,
        *,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.operations = list(operations)
        self.count = count
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Keras warns of layers inside that are not built."""
        for operation in self.operations:
            operation.build(input_shape)

    def call(self, pictures: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Changes nothing outside training."""
        if not training:
            return pictures
        shape = (tf.shape(pictures)[0], self.count)
        choices = keras.random.randint(shape, 0, len(self.operations), seed=self.generator)
        changed = tf.map_fn(
            self._change,
            (pictures, choices),
            fn_output_signature=tf.TensorSpec(pictures.shape[1:], pictures.dtype),
        )
        return tf.ensure_shape(changed, pictures.shape)

    def _change(self, example: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        picture, choices = example
        return tf.foldl(self._change_by, choices, initializer=picture[None])[0]

    def _change_by(self, batch: tf.Tensor, choice: tf.Tensor) -> tf.Tensor:
        changes = [functools.partial(op, batch, training=True) for op in self.operations]
        return tf.ensure_shape(tf.switch_case(choice, changes), batch.shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the pictures."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        operations = [keras.saving.serialize_keras_object(layer) for layer in self.operations]
        config = {"operations": operations, "count": self.count, "seed": self.seed}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RandomOperations:
        """Makes the layer anew."""
        operations = [keras.saving.deserialize_keras_object(o) for o in config["operations"]]
        rest = {name: config[name] for name in ("count", "seed", "name", "dtype")}
        return cls(operations, **rest)
