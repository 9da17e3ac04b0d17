"""Texts to the numbers of their words, in TensorFlow ops: what goes in front of word vectors."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.backbones.text_preprocessor import TextPreprocessor
from keras_transfer.backbones.word_vector_files import VOCABULARY, read_words

# Rows of the table of vectors; words begin at the third.
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2

_PART = r"[\p{L}\p{N}][\p{L}\p{M}\p{N}]*"
# What the Penn Treebank, and with it GloVe, takes for words, besides "n't": "do n't", "it 's".
_ENDINGS = "'(?:s|re|ve|ll|d|m)"


@keras.saving.register_keras_serializable("keras_transfer")
class Words(TextPreprocessor):
    """Splits texts into words and looks up their numbers, as `word_vectors://FILE` wants them.

    Words are letters and digits of any script, with apostrophes inside them. White space and
    punctuation separate them; a mark of punctuation or an emoji for which the vocabulary has a
    word is one. If it has "n't" and "'s", as GloVe files do, English words are split in front of
    such endings. A word that the vocabulary lacks is looked for in lower case. What stands in the
    text is what counts: spellings with combining accents are other words than those without.

    Everything is done by TensorFlow, so that a SavedModel takes texts. Bytes that are not UTF-8
    are replaced by U+FFFD, which separates.

    Args:
        vocabulary: sequence of different words. The first gets the id 2: 0 is padding, and 1
            any other word.
        sequence_length: int. At how many words texts are cut.
        lowercase: bool. Whether texts are turned into lower case first.
        kwargs: `name` and what else every Keras layer takes.

    Raises:
        ValueError: if the vocabulary is empty, has a word twice or something else than words,
            or `sequence_length` is not positive.

    Example:

    >>> words = Words(["the", "cat", "!"], sequence_length=4)
    >>> tokens = words(["The cat sat!", "cat"])
    >>> tokens["token_ids"].numpy().tolist()
    [[2, 3, 1, 4], [3, 0, 0, 0]]
    >>> tokens["padding_mask"].numpy().tolist()
    [[1, 1, 1, 1], [1, 0, 0, 0]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        *,
        sequence_length: int = 512,
        lowercase: bool = False,
        **kwargs: Any,
    ):
        _check(vocabulary, sequence_length)
        super().__init__(tuple(vocabulary), sequence_length, **kwargs)
        self.lowercase = lowercase
        self._splits_endings = {"n't", "'s"} <= set(self.vocabulary)
        endings = rf"(?i:{_ENDINGS})\b|" if self._splits_endings else ""
        self._pattern = rf"(?s)({endings}{_PART}(?:'{_PART})*{_marks(self.vocabulary)})|."
        # As an attribute the table is exported with a SavedModel.
        with tf.init_scope():
            ids = tf.range(FIRST_WORD, FIRST_WORD + len(self.vocabulary))
            words = tf.lookup.KeyValueTensorInitializer(self.vocabulary, ids, tf.string, tf.int32)
            self._table = tf.lookup.StaticHashTable(words, UNKNOWN)

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """Splits texts into words and looks them up, without cutting or padding.

        Args:
            texts: strings, `(batch,)`, UTF-8.

        Returns:
            int32 `tf.RaggedTensor` `(batch, None)` of ids.
        """
        words = self.split(texts)
        return words.with_flat_values(self._look_up(words.flat_values))

    def split(self, texts: Any) -> tf.RaggedTensor:
        """Splits texts into words, as they are looked up.

        Args:
            texts: strings, `(batch,)`, UTF-8.

        Returns:
            string `tf.RaggedTensor` `(batch, None)`.

        Raises:
            ValueError: if the texts have another shape.
        """
        texts = tf.convert_to_tensor(texts, tf.string)
        if texts.shape.rank != 1:
            raise ValueError(f"Expected texts of shape (batch,). Received: shape={texts.shape}.")
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        if self.lowercase:
            texts = _lower(texts)
        texts = tf.strings.regex_replace(texts, "\N{RIGHT SINGLE QUOTATION MARK}", "'")
        # Either the group matches, or what is replaced by spaces alone.
        texts = tf.strings.regex_replace(texts, self._pattern, r" \1 ")
        if self._splits_endings:
            texts = tf.strings.regex_replace(texts, rf"(?i)(\pL)(n't|{_ENDINGS}) ", r"\1 \2 ")
        return tf.strings.split(texts)

    def get_config(self) -> dict[str, Any]:
        """The vocabulary is part of it: a saved layer needs no file."""
        config = super().get_config()
        for name in ("start_tokens", "end_tokens", "pad_token", "segment_ids"):
            del config[name]  # which words of a text have none of
        return {**config, "lowercase": self.lowercase}

    def _look_up(self, words: tf.Tensor) -> tf.Tensor:
        ids = self._table.lookup(words)
        if self.lowercase:
            return ids
        lower = self._table.lookup(_lower(words))
        return tf.where(ids == UNKNOWN, lower, ids)


def _lower(texts: tf.Tensor) -> tf.Tensor:
    # ASCII first: in Turkish locales "I" would become a dotless "i".
    return tf.strings.lower(tf.strings.lower(texts), encoding="utf-8")


def load_words(
    path: str | os.PathLike[str],
    *,
    vocabulary: int | Collection[str] = VOCABULARY,
    sequence_length: int = 512,
) -> Words:
    r"""Reads the words of a file of word vectors, for the layer in front of the vectors.

    Texts are turned into lower case if no word that is taken has an upper-case letter.

    Args:
        path: of the file, as `read_words` takes it.
        vocabulary: int, so many words from the beginning of the file; or a collection of words.
            As for the vectors.
        sequence_length: int. At how many words texts are cut.

    Returns:
        A `Words` layer with the ids of `word_vectors.load`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not in order, or an argument is not.

    Example:

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "glove.txt")
    ...     _ = path.write_text("the 0.5 1\ncat 2 -3\nsat 0 4\n")
    ...     words = load_words(path, vocabulary=["cat"])
    >>> words(["The CAT sat."])["token_ids"].numpy().tolist()
    [[1, 2, 1]]
    """
    words = read_words(path, vocabulary)
    lowercase = all(word == word.lower() for word in words)
    return Words(words, sequence_length=sequence_length, lowercase=lowercase)


def _marks(vocabulary: Sequence[str]) -> str:
    """Single characters of the vocabulary that are no letters or digits, for the pattern."""
    marks = [w for w in vocabulary if len(w) == 1 and unicodedata.category(w)[0] in "PS"]
    return "".join(rf"|\x{{{ord(mark):X}}}" for mark in marks)


def _check(vocabulary: Sequence[str], sequence_length: int) -> None:
    if isinstance(vocabulary, str) or not all(isinstance(w, str) and w for w in vocabulary):
        raise ValueError(
            f"Expected `vocabulary` to be words. Received: vocabulary={str(vocabulary)[:80]}."
        )
    if not 0 < len(set(vocabulary)) == len(vocabulary):
        raise ValueError(
            "Expected `vocabulary` to have words, each of them once. "
            f"Received: {len(vocabulary)} words, {len(set(vocabulary))} of them different."
        )
    if sequence_length < 1:
        raise ValueError(
            "Expected `sequence_length` to be positive. "
            f"Received: sequence_length={sequence_length}."
        )
