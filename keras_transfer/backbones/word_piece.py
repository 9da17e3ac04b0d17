"""WordPiece tokens of BERT and its kin, in TensorFlow and TensorFlow Text ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.backbones.text_preprocessor import TextPreprocessor

# What BERT drops: controls, formats and private characters, U+FFFD. The formats are those of
# Unicode 8, as in Hugging Face's tables, so \p{Cf} would be too many.
_DROPPED = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\x{AD}\x{600}-\x{605}\x{61C}\x{6DD}\x{70F}\x{180E}"
    r"\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{2066}-\x{206F}\x{FEFF}"
    r"\x{FFF9}-\x{FFFB}\x{FFFD}\x{110BD}\x{1BCA0}-\x{1BCA3}\x{1D173}-\x{1D17A}\x{E0001}"
    r"\x{E0020}-\x{E007F}\x{E000}-\x{F8FF}\x{F0000}-\x{FFFFD}\x{100000}-\x{10FFFD}]"
)
_SPACES = r"[\t\n\r\p{Z}]"
_PUNCTUATION = r"[!-/:-@\[-`{-~\p{P}]"
# As in Hugging Face's tokenizers; Google's BERT has 2B820 where they have 2B920.
_IDEOGRAPHS = (
    r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B920}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
)
_LONGEST_WORD = 100  # in characters; BERT takes longer ones for unknown


@keras.saving.register_keras_serializable("keras_transfer")
class WordPiece(TextPreprocessor):
    """The tokenizer of BERT, DistilBERT, ELECTRA, MPNet, MiniLM and their kin.

    `kx.load_preprocessor` makes it from a checkpoint; make it yourself where you only have a
    `vocab.txt`. It gives the ids of `transformers`, but for some 550 rare signs whose class is
    younger than Unicode 8, where its tables end. TensorFlow Text's own `FastBertTokenizer` goes
    further from them: it also folds characters such as "½", "ß" and full-width letters, and
    measures words in bytes.

    Reference: Song et al., "Fast WordPiece Tokenization", EMNLP 2021.

    Args:
        vocabulary: list of str, the lines of `vocab.txt`; pieces inside words begin with "##".
        sequence_length: int, see `kx.TextPreprocessor`.
        lowercase: bool, True for the "uncased" checkpoints.
        strip_accents: bool, whether "é" becomes "e". None: as `lowercase`.
        split_ideographs: bool, whether every Chinese character is a word of its own.
        unknown_token: str, what words without pieces in the vocabulary become.
        kwargs: see `kx.TextPreprocessor`. The defaults are those of BERT:
            `start_tokens=["[CLS]"]`, `end_tokens=["[SEP]"]`, `pad_token="[PAD]"` and
            `segment_ids=True`.

    Raises:
        ValueError: if the vocabulary holds a token twice or lacks a special token, or nothing
            fits between the special tokens.
        ModuleNotFoundError: if `tensorflow-text` is not installed.

    Example:

    >>> import keras_transfer as kx
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "play", "##ing", "chess", "!"]
    >>> kx.WordPiece(words)(["Playing chéss!", "chess"])["token_ids"].numpy().tolist()
    [[2, 4, 5, 6, 7, 3], [2, 6, 3, 0, 0, 0]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        sequence_length: int = 512,
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        split_ideographs: bool = True,
        unknown_token: str = "[UNK]",
        **kwargs: Any,
    ) -> None:
        bert = {"start_tokens": ["[CLS]"], "end_tokens": ["[SEP]"], "pad_token": "[PAD]"}
        super().__init__(vocabulary, sequence_length, **{**bert, "segment_ids": True, **kwargs})
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.split_ideographs = split_ideographs
        self.unknown_token = unknown_token
        if unknown_token not in vocabulary:
            raise ValueError(
                "Expected a vocabulary with the unknown token. "
                f"Received: {len(vocabulary)} tokens without {unknown_token!r}."
            )
        # Layers may be made while a graph is built, and are used outside of it.
        with tf.init_scope(), tf.device("CPU"):
            self._pieces = _tensorflow_text().FastWordpieceTokenizer(
                list(vocabulary),
                # Lengths are checked in characters; one has 4 bytes at most.
                max_bytes_per_word=4 * _LONGEST_WORD,
                token_out_type=tf.int32,
                unknown_token=unknown_token,
                no_pretokenization=True,
            )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """See `kx.TextPreprocessor.tokenize`."""
        words = tf.strings.split(self._normalize(texts))[:, : self._room]
        letters = words.flat_values
        too_long = tf.strings.length(letters, unit="UTF8_CHAR") > _LONGEST_WORD
        letters = tf.where(too_long, self.unknown_token, letters)
        return self._pieces.tokenize(words.with_flat_values(letters)).merge_dims(1, 2)

    def _normalize(self, texts: tf.Tensor) -> tf.Tensor:
        """Words with single spaces between them, in the order of steps of BERT."""
        texts = tf.strings.regex_replace(texts, _DROPPED, "")
        texts = tf.strings.regex_replace(texts, _SPACES, " ")
        if self.split_ideographs:
            texts = tf.strings.regex_replace(texts, _IDEOGRAPHS, r" \0 ")
        if self.lowercase if self.strip_accents is None else self.strip_accents:
            texts = _tensorflow_text().normalize_utf8(texts, "NFD")
            texts = tf.strings.regex_replace(texts, r"\p{Mn}", "")
        if self.lowercase:
            # What depends on the machine's locale (in Turkish ones "I" becomes a dotless "i") or
            # on the next letter (Σ) comes first, for here it must not.
            texts = tf.strings.lower(texts)
            texts = tf.strings.regex_replace(texts, "Σ", "σ")
            texts = tf.strings.regex_replace(texts, "İ", "i\u0307")
            texts = tf.strings.lower(texts, encoding="utf-8")
        return tf.strings.regex_replace(texts, _PUNCTUATION, r" \0 ")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "lowercase": self.lowercase,
            "strip_accents": self.strip_accents,
            "split_ideographs": self.split_ideographs,
            "unknown_token": self.unknown_token,
        }


def _tensorflow_text() -> Any:
    try:
        import tensorflow_text
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "WordPiece needs TensorFlow Text, of the version of TensorFlow: "
            "pip install tensorflow-text. Received: it is not installed."
        ) from error
    return tensorflow_text
