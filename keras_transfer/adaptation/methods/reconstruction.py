"""DRCN: features from which the target's inputs can be reconstructed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_transfer.adaptation.methods.decoders import default_decoder
from keras_transfer.adaptation.methods.method import DomainBatch, Method
from keras_transfer.adaptation.methods.weighted_mean import weighted_mean


def reconstruction_error(inputs: tf.Tensor, outputs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The mean squared error.

    Args:
        inputs: float tensor `[n, ...]`.
        outputs: of the same shape.
        weights: `[n]`, at least 0.

    Returns:
        A scalar: the mean over an example's numbers, then the weighted one over examples.
    """
    squares = tf.math.squared_difference(inputs, outputs)
    return weighted_mean(tf.reduce_mean(squares, axis=range(1, inputs.shape.rank)), weights)


class Reconstruction(Method):
    """Reconstruction of the target's inputs from features (DRCN).

    A decoder reconstructs the inputs from the deepest compared features, which so keep what makes
    up the target while the labels of the source teach what to tell apart: a transfer autoencoder.
    The term is the mean squared error, of pixels 0-255 divided by 255. The decoder belongs to
    training alone. For features of an early or narrow layer and small pictures; from the pooled
    features of a large network little but colors can be had.

    Reference: Ghifary et al., "Deep Reconstruction-Classification Networks for Unsupervised Domain
    Adaptation", ECCV 2016.

    Args:
        decoder: keras.Model from `[n, width]` to the inputs' shape, or None for dense layers
            (vectors), or a dense one and transposed convolutions (pictures).
        scale: float above 0, by which inputs are divided; None for 255 where they are pictures,
            1 otherwise.
        include_source: bool. Whether the source is reconstructed too, half of the term each.
            Defaults to False, the paper's.
        name: str, as for every Keras layer.

    Raises:
        ValueError: if `scale` is not above 0, or later if the model takes anything else than one
            tensor of pictures of a known size or of vectors of numbers, or the decoder gives
            another shape.

    Example:

    >>> import keras_transfer as kx
    >>> kx.Reconstruction(include_source=True).include_source
    True
    """

    needs_inputs: ClassVar[bool] = True

    def __init__(
        self,
        decoder: keras.Model | None = None,
        *,
        scale: float | None = None,
        include_source: bool = False,
        name: str = "reconstruction",
    ):
        if scale is not None and not scale > 0:
            raise ValueError(f"Expected `scale` above 0, or None. Received: scale={scale}.")
        super().__init__(name=name)
        self.decoder = decoder
        self.scale = scale
        self.include_source = include_source
        self._decode: Any = decoder

    def prepare(self, widths: Sequence[int], num_classes: int, inputs: Any) -> None:
        """Builds the decoder, or checks the given one."""
        shape = _shape_of(inputs)
        if self._decode is None:
            self._decode = default_decoder(widths[-1], shape)
        found = self._decode(keras.KerasTensor((None, widths[-1]), "float32")).shape
        if tuple(found[1:]) != shape:
            raise ValueError(
                f"Expected a decoder that gives the inputs' shape {shape}. Received: "
                f"{self._decode.name!r}, which gives {tuple(found[1:])}."
            )

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The mean squared error of the target, or of both domains."""
        if not self.include_source:
            return self._error(target)
        return (self._error(source) + self._error(target)) / 2

    def _error(self, batch: DomainBatch) -> tf.Tensor:
        [inputs] = keras.tree.flatten(batch.inputs)
        scale = self.scale or (255.0 if inputs.shape.rank == 4 else 1.0)
        outputs = self._decode(batch.features[-1], training=batch.training)
        inputs = tf.cast(inputs, tf.float32) / scale
        return reconstruction_error(inputs, tf.cast(outputs, tf.float32), batch.weights)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "scale": self.scale,
            "include_source": self.include_source,
            **super().get_config(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Reconstruction:
        """Makes the method anew, with a decoder of new weights."""
        decoder = keras.saving.deserialize_keras_object(config["decoder"])
        return cls(**{**config, "decoder": decoder})


def _shape_of(inputs: Any) -> tuple[int, ...]:
    tensors = keras.tree.flatten(inputs)
    shape = tuple(tensors[0].shape[1:])
    vectors = len(shape) == 1 and "float" in tensors[0].dtype
    if len(tensors) != 1 or None in shape or not (vectors or len(shape) == 3):
        found = ", ".join(f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in tensors)
        raise ValueError(
            "Expected a model of one input, pictures of a known size or vectors of numbers. "
            f"Received: {found}."
        )
    return shape
