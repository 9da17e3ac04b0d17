"""What an exported version answers: its functions, and samples to try them on."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.resizing import Resize, resize_picture
from keras_transfer.serving.samples import Samples, as_strings, made_up_pictures, made_up_texts
from keras_transfer.serving.signatures import (
    Outputs,
    bytes_signature,
    outputs_signature,
    text_signature,
)

DEFAULT_SIGNATURE, PIXELS_SIGNATURE = "serving_default", "pixels"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One signature.

    Attributes:
        function: from a batch to named outputs.
        spec: of the batch; its name is that of the input.
        samples: a batch.
    """

    function: Callable[[tf.Tensor], Outputs]
    spec: tf.TensorSpec
    samples: np.ndarray


def picture_endpoints(
    model: keras.Model,
    class_names: Sequence[str],
    size: tuple[int, int],
    resize: Resize,
    files: Sequence[pathlib.Path],
) -> dict[str, Endpoint]:
    """For encoded pictures, and for pixels."""
    predict = outputs_signature(model, class_names)
    pictures = made_up_pictures(size) + [file.read_bytes() for file in files]
    pixels = tf.stack([resize_picture(decode_picture(data), size, resize) for data in pictures])
    return {
        DEFAULT_SIGNATURE: Endpoint(
            bytes_signature(predict, size, resize),
            tf.TensorSpec([None], tf.string, name="image_bytes"),
            as_strings(pictures),
        ),
        PIXELS_SIGNATURE: Endpoint(
            predict, tf.TensorSpec([None, *size, 3], tf.float32, name="pixels"), pixels.numpy()
        ),
    }


def text_endpoints(
    model: keras.Model,
    class_names: Sequence[str],
    preprocessor: keras.layers.Layer,
    files: Sequence[pathlib.Path],
) -> dict[str, Endpoint]:
    """For texts."""
    predict = outputs_signature(model, class_names)
    texts = made_up_texts() + [file.read_bytes() for file in files]
    return {
        DEFAULT_SIGNATURE: Endpoint(
            text_signature(predict, preprocessor),
            tf.TensorSpec([None], tf.string, name="text"),
            as_strings(texts),
        )
    }


def answers(endpoints: dict[str, Endpoint]) -> Samples:
    """What Keras itself gives for the samples, outside of any exported graph.

    All signatures have to agree with the last one, which takes what the model takes.
    """
    *_, plain = endpoints.values()
    outputs = {name: _array(x) for name, x in plain.function(tf.constant(plain.samples)).items()}
    return {
        name: ({str(endpoint.spec.name): endpoint.samples}, outputs)
        for name, endpoint in endpoints.items()
    }


def _array(value: tf.Tensor) -> np.ndarray:
    return as_strings(list(value.numpy())) if value.dtype == tf.string else value.numpy()
