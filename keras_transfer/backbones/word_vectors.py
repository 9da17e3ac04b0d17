"""Word vectors of a file (word2vec, GloVe) as a backbone for text: one embedding layer.

The layer holds its rows itself, so that a saved model needs no file. Which row is which word only
the `Words` layer knows that goes with it, made from the same file and vocabulary.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from keras_transfer.backbones.info import BackboneInfo
from keras_transfer.backbones.word_vector_files import VOCABULARY, read_word_vectors
from keras_transfer.backbones.words import FIRST_WORD, PADDING, UNKNOWN

# What `load` takes besides.
OPTIONS = ("vocabulary",)


def describe() -> list[BackboneInfo]:
    """No rows for `kx.list_backbones()`: the files are the user's own."""
    return []


def load(
    name: str,
    input_shape: tuple[int | None, ...] | None,
    weights: Any,
    *,
    vocabulary: int | Collection[str] = VOCABULARY,
) -> keras.Model:
    r"""Builds a model from words' numbers to their vectors; see `kx.load_backbone`.

    Id 0 is padding, a vector of zeros also after training; id 1 is every other word, the mean
    of the vectors that are taken; then come the words in the order of the file.

    Args:
        name: str, the path of a file as `read_word_vectors` takes it.
        input_shape: `(length,)`, or None for texts of any length.
        weights: "pretrained", or None for random vectors of the same number and width.
        vocabulary: int, so many words from the beginning of the file; or a collection of words.

    Returns:
        A functional `keras.Model` from `{"token_ids", "padding_mask"}`, both int32
        `(batch, length)`, the latter 1 where there is a word and 0 where there is none, to
        float32 `(batch, length, width)`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not in order, `weights` is something else, or `input_shape`
            is not of one dimension.

    Example:

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "glove.txt")
    ...     _ = path.write_text("the 1 2\ncat 3 -4\n")
    ...     model = load(str(path), None, "pretrained")
    >>> ids = np.array([[3, 1, 0]])
    >>> model({"token_ids": ids, "padding_mask": np.sign(ids)}).numpy().tolist()
    [[[3.0, -4.0], [2.0, -1.0], [0.0, 0.0]]]
    """
    if weights not in (None, "pretrained"):
        raise ValueError(
            "Expected `weights` to be 'pretrained' or None, since the handle of word vectors "
            f"names their file. Received: weights={weights!r}."
        )
    if input_shape is not None and len(input_shape) != 1:
        raise ValueError(
            f"Expected `input_shape` to be (length,) or None. Received: input_shape={input_shape}."
        )
    words, vectors = read_word_vectors(name, vocabulary)
    model = _build(name, input_shape or (None,), FIRST_WORD + len(words), vectors.shape[1])
    if weights == "pretrained":
        model.get_layer("word_vectors").set_weights([_table(vectors)])
    return model


def _build(path: str, input_shape: tuple[int | None, ...], rows: int, width: int) -> keras.Model:
    token_ids = keras.Input(input_shape, name="token_ids", dtype="int32")
    padding_mask = keras.Input(input_shape, name="padding_mask", dtype="int32")
    x = keras.layers.Embedding(rows, width, name="word_vectors")(token_ids)
    # Padding stays zeros while training: no gradient gets past the mask.
    mask = keras.layers.Reshape((-1, 1), name="mask")(padding_mask)
    x = keras.layers.Multiply(name="masked_word_vectors")([x, mask])
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    # Names of layers are parts of paths in saved files.
    stem = re.sub(r"\W+", "_", pathlib.Path(path).stem, flags=re.ASCII)
    return keras.Model(inputs, x, name=f"word_vectors_{stem}")


def _table(vectors: np.ndarray) -> np.ndarray:
    table = np.empty([FIRST_WORD + len(vectors), vectors.shape[1]], np.float32)
    table[PADDING] = 0
    table[UNKNOWN] = vectors.mean(0, dtype=np.float64)
    table[FIRST_WORD:] = vectors
    return table
