"""The signatures of a version: its functions, and samples to try them on."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.resizing import Resize, resize_picture
from keras_transfer.models.blocks import flatten
from keras_transfer.models.tasks import REGRESSION, task_of
from keras_transfer.serving.signatures import inputs, made_up
from keras_transfer.serving.signatures.names import DEFAULT, FEATURES, PIXELS, TOKENS, TOP_K
from keras_transfer.serving.signatures.outputs import (
    Answer,
    Outputs,
    best_classes,
    features,
    predictions,
)
from keras_transfer.serving.signatures.strings import as_strings

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One signature.

    Attributes:
        read: from the tensors of a request to what the model takes, and which rows are valid.
        answer: from these to named outputs.
        specs: of the tensors; their names are those of the inputs.
        samples: a batch.
        plain: what `read` is to make of the samples, computed without it.
    """

    read: Callable[..., inputs.Read]
    answer: Answer
    specs: tuple[tf.TensorSpec, ...]
    samples: Arrays
    plain: inputs.Read

    def function(self, *given: tf.Tensor) -> Outputs:
        """From the tensors of a request to named outputs."""
        pairs = zip(given, self.specs, strict=True)
        return self.answer(*self.read(*(inputs.as_sent(x, spec.shape) for x, spec in pairs)))

    def expected(self) -> Arrays:
        """What Keras itself gives for the samples, outside of any exported graph."""
        return _arrays(self.answer(*self.plain))


def picture_endpoints(
    model: keras.Model,
    class_names: Sequence[str],
    size: tuple[int, int],
    resize: Resize,
    files: Sequence[pathlib.Path],
) -> dict[str, Endpoint]:
    """For encoded pictures, and for pixels."""
    pictures = [
        *made_up.pictures(size),
        *made_up.broken_pictures(),
        *(file.read_bytes() for file in files),
    ]
    pixels = np.stack([_decoded(data, size, resize) for data in pictures])
    plain = inputs.pixels(tf.constant(pixels))
    of_bytes = Endpoint(
        inputs.encoded_pictures(size, resize),
        predictions(model, class_names),
        (tf.TensorSpec([None], tf.string, name="image_bytes"),),
        {"image_bytes": as_strings(pictures)},
        plain,
    )
    of_pixels = dataclasses.replace(
        of_bytes,
        read=inputs.pixels,
        specs=(tf.TensorSpec([None, *size, 3], tf.float32, name="pixels"),),
        samples={"pixels": pixels},
    )
    return {DEFAULT: of_bytes, PIXELS: of_pixels, **_further(of_bytes, model, class_names)}


def text_endpoints(
    model: keras.Model,
    class_names: Sequence[str],
    preprocessor: keras.layers.Layer,
    files: Sequence[pathlib.Path],
) -> dict[str, Endpoint]:
    """For texts, and for tokens."""
    texts = as_strings([*made_up.texts(), *(file.read_bytes() for file in files)])
    names = sorted(model.input, key=lambda name: name != "token_ids")  # the ids first
    valid = tf.constant([bool(text.strip()) for text in texts])
    tokens = preprocessor(tf.constant(texts))
    of_texts = Endpoint(
        inputs.texts(preprocessor),
        predictions(model, class_names),
        (tf.TensorSpec([None], tf.string, name="text"),),
        {"text": texts},
        (tokens, valid),
    )
    of_tokens = Endpoint(
        inputs.tokens(names, _vocabulary_size(model)),
        of_texts.answer,
        tuple(tf.TensorSpec([None, None], model.input[name].dtype, name=name) for name in names),
        # An id that is none, where there is no text.
        {**_arrays(tokens), "token_ids": np.where(valid[:, None], tokens["token_ids"], -1)},
        of_texts.plain,
    )
    return {DEFAULT: of_texts, TOKENS: of_tokens, **_further(of_texts, model, class_names)}


def _further(
    default: Endpoint, model: keras.Model, class_names: Sequence[str]
) -> dict[str, Endpoint]:
    """Of the same requests: the best classes of a classifier, and the embedding."""
    found = {}
    if task_of(model) is not REGRESSION:
        found[TOP_K] = dataclasses.replace(default, answer=best_classes(model, class_names))
    if isinstance(model.layers[-1], keras.layers.Dense):
        found[FEATURES] = dataclasses.replace(default, answer=features(model))
    return found


def _decoded(data: bytes, size: tuple[int, int], resize: Resize) -> np.ndarray:
    try:
        return resize_picture(decode_picture(tf.constant(data)), size, resize).numpy()
    except tf.errors.InvalidArgumentError:
        return np.full([*size, 3], np.nan, np.float32)


def _vocabulary_size(model: keras.Model) -> int:
    """Of the largest embedding: those of positions and segments are smaller."""
    embeddings = [x for x in flatten(model) if isinstance(x, keras.layers.Embedding)]
    return max((embedding.input_dim for embedding in embeddings), default=np.iinfo("int32").max)


def _arrays(tensors: dict[str, tf.Tensor]) -> Arrays:
    return {name: value.numpy() for name, value in tensors.items()}
