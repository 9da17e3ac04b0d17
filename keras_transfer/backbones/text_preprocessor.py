"""Texts to the token ids of a checkpoint, as a layer that lives in the TensorFlow graph.

Training runs it in `Dataset.map` and the exported model runs it in its signature, so both see the
same ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


class TextPreprocessor(keras.layers.Layer):
    """Base class of layers that turn texts into padded token ids.

    Subclasses implement `tokenize`. Everything that is the same for all vocabularies happens here:
    bytes that are no UTF-8 become U+FFFD, special tokens are put around the ids, long texts are
    cut and short ones padded. Special tokens that stand literally in a text are ordinary text, as
    with `split_special_tokens=True` in `transformers`: what users type can not end a text early.

    It works on batches in `Dataset.map`, in a `tf.function`, eagerly and as a layer of a
    functional model, and it exports: its ops are those of TensorFlow and TensorFlow Text.

    Args:
        vocabulary: list of str, the tokens; a token's place is its id.
        sequence_length: int, longest result in tokens, special tokens included. Longer texts lose
            their end.
        start_tokens: list of str, special tokens in front of every text.
        end_tokens: list of str, special tokens behind every text, cut or not.
        pad_token: str, what short texts are filled up with; None for id 0, where a checkpoint
            has no such token. `padding_mask` tells which ids count.
        segment_ids: bool, whether the result has "segment_ids" (all zero), as BERT wants them.
        kwargs: `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Raises:
        ValueError: if the vocabulary holds a token twice or lacks a special token, or nothing
            fits between the special tokens.

    Example:

    >>> import tensorflow as tf
    >>> import keras_transfer as kx
    >>> class Letters(kx.TextPreprocessor):
    ...     def tokenize(self, texts):
    ...         return tf.strings.unicode_decode(texts, "UTF-8") - ord("a")
    >>> letters = Letters(["a", "b", "c", "<end>"], 3, end_tokens=["<end>"])
    >>> letters(["abc", "b"])["token_ids"].numpy().tolist()
    [[0, 1, 3], [1, 3, 0]]
    >>> letters.count_tokens(["abc", "b"]).numpy().tolist()
    [3, 2]
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        sequence_length: int = 512,
        *,
        start_tokens: Sequence[str] = (),
        end_tokens: Sequence[str] = (),
        pad_token: str | None = None,
        segment_ids: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # As in keras.layers.TextVectorization: texts come as lists, too, and XLA has no strings.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self.supports_jit = False
        self.built = True  # there are no weights; ExportArchive asks
        self.vocabulary = vocabulary
        self.sequence_length = sequence_length
        self.start_tokens = start_tokens
        self.end_tokens = end_tokens
        self.pad_token = pad_token
        self.segment_ids = segment_ids
        ids = _ids(vocabulary)
        self._start_ids = _look_up(ids, start_tokens)
        self._end_ids = _look_up(ids, end_tokens)
        self._pad_id = 0 if pad_token is None else _look_up(ids, [pad_token])[0]
        self._room = sequence_length - len(self._start_ids) - len(self._end_ids)
        if self._room < 1:
            raise ValueError(
                "Expected `sequence_length` to leave room for a token between the special ones "
                f"{[*start_tokens, *end_tokens]}. Received: sequence_length={sequence_length}."
            )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Ids of the tokens of each text, without special tokens, padding and cutting.

        Ids past `sequence_length` of them are thrown away, so they may be left out.

        Args:
            texts: string tensor `(batch,)`, valid UTF-8.

        Returns:
            int32 `(batch, None)`.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks `tokenize`.")

    def call(self, texts: Any) -> dict[str, tf.Tensor]:
        """Padded ids of a batch of texts.

        Args:
            texts: string tensor, NumPy array or list of str `(batch,)`.

        Returns:
            A dict of int32 tensors `(batch, longest text of the batch)`: "token_ids",
            "padding_mask" (1 where there is a token) and "segment_ids" where asked for.
        """
        # Strings live in the host's memory; small integer ops are not worth the way to a GPU.
        with tf.device("CPU"):
            ids = self._cut_ids(texts)
            lengths = ids.row_lengths() + (self.sequence_length - self._room)
            rows = tf.size(lengths, tf.int64)
            start = tf.tile(tf.constant([self._start_ids], tf.int32), [rows, 1])
            end = tf.tile(tf.constant([self._end_ids], tf.int32), [rows, 1])
            ids = tf.concat([start, ids, end], axis=1)
            # Without special tokens all texts may be empty; models want a place at least.
            width = tf.reduce_max(tf.concat([lengths, [1]], 0))
            token_ids = ids.to_tensor(self._pad_id, shape=tf.stack([rows, width]))
            features = {
                "token_ids": tf.ensure_shape(token_ids, [None, None]),
                "padding_mask": tf.sequence_mask(lengths, width, tf.int32),
            }
            if self.segment_ids:
                features["segment_ids"] = tf.zeros_like(features["token_ids"])
            return features

    def count_tokens(self, texts: Any) -> tf.Tensor:
        """How many tokens each text has after cutting, special tokens included; pads nothing.

        Use it to put texts of like length into one batch, as the `element_length_func` of
        `Dataset.bucket_by_sequence_length`.

        Args:
            texts: one text or a batch of them: string tensor, NumPy array, str or list of str.

        Returns:
            int32, of the shape of `texts`.
        """
        with tf.device("CPU"):
            texts = tf.convert_to_tensor(texts, tf.string)
            lengths = self._cut_ids(tf.reshape(texts, [-1])).row_lengths()
            counts = tf.cast(lengths, tf.int32) + (self.sequence_length - self._room)
            return tf.ensure_shape(tf.reshape(counts, tf.shape(texts)), texts.shape)

    def _cut_ids(self, texts: Any) -> tf.RaggedTensor:
        texts = tf.convert_to_tensor(texts, tf.string)
        if texts.shape.rank != 1:
            raise ValueError(
                f"Expected a batch of texts, of shape (batch,). Received: shape={texts.shape}."
            )
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        return self.tokenize(texts)[:, : self._room]

    def compute_output_spec(self, texts: Any, **kwargs: Any) -> dict[str, keras.KerasTensor]:
        """What Keras asks when it builds a functional model; see `call`."""
        names = ["token_ids", "padding_mask"] + ["segment_ids"] * self.segment_ids
        shape = (texts.shape[0], None)
        return {name: keras.KerasTensor(shape, "int32", name=name) for name in names}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary": list(self.vocabulary),
            "sequence_length": self.sequence_length,
            "start_tokens": list(self.start_tokens),
            "end_tokens": list(self.end_tokens),
            "pad_token": self.pad_token,
            "segment_ids": self.segment_ids,
        }


def _ids(vocabulary: Sequence[str]) -> dict[str, int]:
    ids = {token: number for number, token in enumerate(vocabulary)}
    if len(ids) < len(vocabulary):
        twice = [token for number, token in enumerate(vocabulary) if ids[token] != number]
        raise ValueError(
            f"Expected a vocabulary with every token once. Received: {len(vocabulary)} tokens, of "
            f"which {twice[:5]} stand there several times."
        )
    return ids


def _look_up(ids: dict[str, int], tokens: Sequence[str]) -> tuple[int, ...]:
    missing = [token for token in tokens if token not in ids]
    if missing:
        raise ValueError(
            f"Expected a vocabulary with the special tokens {list(tokens)}. "
            f"Received: {len(ids)} tokens without {missing}."
        )
    return tuple(ids[token] for token in tokens)
