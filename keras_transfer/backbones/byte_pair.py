"""Byte-level byte-pair tokens of GPT-2, RoBERTa and their kin, in TensorFlow ops alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.backbones.text_preprocessor import TextPreprocessor

# Python's and Unicode's white space; RE2's own \s is ASCII alone.
_SPACES = r"\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
# GPT-2's pattern is these and `\s+(?!\S)|\s+`: of several spaces the last goes with the word
# behind. RE2 cannot look ahead, so a byte that no UTF-8 has is put in front of that last space.
_WORD = rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+| ?[^{_SPACES}\p{{L}}\p{{N}}]+|[{_SPACES}]+"
_LAST_SPACE = rf"([{_SPACES}]+)([{_SPACES}][^{_SPACES}])"
_BORDER = b"\xff"
_NEVER = np.iinfo(np.int64).max
# Merging takes as many rounds as the longest word has kinds of pairs. What people write as one word
# is far shorter; without a limit 100,000 random letters take eight times as long.
_LONGEST_WORD = 1024  # bytes


@keras.saving.register_keras_serializable("keras_transfer")
class BytePair(TextPreprocessor):
    """The tokenizer of GPT-2, RoBERTa, DistilRoBERTa and their kin.

    `kx.load_preprocessor` makes it from a checkpoint. It gives the ids of `transformers`, but for
    words of over 1,024 bytes without a space, of which every 1,024 bytes are merged by themselves.
    Every distinct word of a batch is merged once, all of them at the same time.

    Reference: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units",
    ACL 2016; on bytes: Radford et al., "Language Models are Unsupervised Multitask Learners",
    2019.

    Args:
        vocabulary: list of str, the tokens as in `vocab.json`, in the order of their ids: bytes
            written as GPT-2's printable characters, "Ġ" for a space.
        merges: list of str, the lines of `merges.txt`: "left right", the first pair first.
        sequence_length: int, see `kx.TextPreprocessor`.
        add_prefix_space: bool, whether a text's first word is read as if a space stood before it.
        kwargs: see `kx.TextPreprocessor`.

    Raises:
        ValueError: if the vocabulary holds a token twice, lacks a special token, one of the 256
            bytes or what a merge needs, or nothing fits between the special tokens.

    Example:

    >>> import keras_transfer as kx
    >>> letters = kx.BytePair.byte_letters()
    >>> pairs = kx.BytePair([*letters, "lo", "low", "Ġlow"], ["l o", "lo w", "Ġ low"])
    >>> pairs(["low low"])["token_ids"].numpy().tolist()
    [[257, 258]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        merges: Sequence[str],
        sequence_length: int = 512,
        *,
        add_prefix_space: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, sequence_length, **kwargs)
        self.merges = merges
        self.add_prefix_space = add_prefix_space
        ids = {token: number for number, token in enumerate(vocabulary)}
        self._id_of_byte = np.array(_known(ids, self.byte_letters()), "int64")
        self._pairs, self._ranks, self._merged = _table(ids, merges)

    @staticmethod
    def byte_letters() -> list[str]:
        """GPT-2's printable characters for the bytes 0 to 255, as its vocabularies write them.

        Returns:
            256 str of one character each.
        """
        # Printable Latin-1 stands for itself; the others follow from U+0100 on.
        printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = iter(range(0x100, 0x200))
        return [chr(byte if byte in printable else next(others)) for byte in range(256)]

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """See `kx.TextPreprocessor.tokenize`."""
        words = self._split(texts)
        unique, places = tf.unique(words.flat_values)
        ids = tf.gather(self._merge_all(unique), places)
        return words.with_flat_values(ids).merge_dims(1, 2)

    def _split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Words with the space before them, and what spaces are left; as many as may count."""
        if self.add_prefix_space:
            texts = tf.strings.regex_replace(texts, r"\A([^ ])", r" \1")
        texts = tf.strings.regex_replace(texts, _LAST_SPACE, rb"\1" + _BORDER + rb"\2")
        texts = tf.strings.regex_replace(texts, _WORD, rb"\0" + _BORDER)
        words = tf.strings.split(texts, _BORDER)
        return tf.ragged.boolean_mask(words, words != b"")[:, : self._room]

    def _merge_all(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Ids of each word."""
        data = tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8)
        lengths = tf.strings.length(words)
        word = tf.repeat(tf.range(tf.size(words, tf.int64)), lengths)
        offset = tf.range(tf.size(data)) - tf.repeat(tf.cumsum(lengths, exclusive=True), lengths)
        # Pairs are merged within one segment.
        segment = tf.cumsum(tf.cast(offset % _LONGEST_WORD == 0, tf.int32)) - 1
        ids = self._merge(tf.gather(self._id_of_byte, tf.cast(data, tf.int32)), segment)
        kept = ids >= 0
        return tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(ids, kept),
            tf.boolean_mask(word, kept),
            nrows=tf.size(words, tf.int64),
            validate=False,
        )

    def _merge(self, ids: tf.Tensor, segment: tf.Tensor) -> tf.Tensor:
        """Ids where tokens begin, -1 where bytes belong to the token before; int32."""
        place = tf.range(tf.size(ids))
        result = tf.fill(tf.shape(ids), -1)
        flat = tf.TensorShape([None])
        return tf.while_loop(
            lambda ids, segment, place, result: tf.size(ids) > 0,
            self._merge_once,
            (ids, segment, place, result),
            shape_invariants=(flat, flat, flat, flat),
        )[-1]

    def _merge_once(
        self, ids: tf.Tensor, segment: tf.Tensor, place: tf.Tensor, result: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Merges the best pair of each segment, wherever it stands; finished ones leave."""
        entry, rank = self._find_pairs(ids, segment)
        # Segments that have left leave gaps in the numbers.
        begins = tf.concat([[False], segment[1:] != segment[:-1]], 0)
        number = tf.cumsum(tf.cast(begins, tf.int32))
        best = tf.gather(tf.math.segment_min(rank, number), number)
        is_left = _no_overlap((rank == best) & (rank < _NEVER))
        # The left token of a pair takes the new id, the right one goes.
        ids = tf.where(is_left, tf.gather(self._merged, entry), ids)
        finished = best == _NEVER
        stays = ~finished & ~tf.concat([[False], is_left[:-1]], 0)
        result = tf.tensor_scatter_nd_update(
            result,
            tf.boolean_mask(place, finished)[:, None],
            tf.cast(tf.boolean_mask(ids, finished), tf.int32),
        )
        return (*(tf.boolean_mask(values, stays) for values in (ids, segment, place)), result)

    def _find_pairs(self, ids: tf.Tensor, segment: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of each token with the next: the place in the table, and the rank or never."""
        pair = ids * len(self.vocabulary) + tf.concat([ids[1:], [0]], 0)
        entry = tf.minimum(tf.searchsorted(self._pairs, pair), len(self._pairs) - 1)
        same = tf.concat([segment[1:] == segment[:-1], [False]], 0)
        found = same & (tf.gather(self._pairs, entry) == pair)
        return entry, tf.where(found, tf.gather(self._ranks, entry), _NEVER)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "merges": list(self.merges),
            "add_prefix_space": self.add_prefix_space,
        }


def _no_overlap(candidates: tf.Tensor) -> tf.Tensor:
    """Of "a a a", where both pairs may merge, the left one: every other one of a run."""
    number = tf.range(tf.size(candidates))
    begins = candidates & ~tf.concat([[False], candidates[:-1]], 0)
    run = tf.maximum(tf.cumsum(tf.cast(begins, tf.int32)) - 1, 0)
    # A zero more, for there may be no run at all.
    begin = tf.gather(tf.concat([tf.boolean_mask(number, begins), [0]], 0), run)
    return candidates & ((number - begin) % 2 == 0)


def _table(ids: dict[str, int], merges: Sequence[str]) -> tuple[np.ndarray, ...]:
    """Sorted pairs (left times the number of tokens, plus right), their ranks, the new ids."""
    sides = [tuple(merge.split(" ")) for merge in merges]
    wrong = [merge for merge, side in zip(merges, sides, strict=True) if len(side) != 2]
    if wrong or not merges:
        raise ValueError(f"Expected merges such as 'l o'. Received: {wrong[:3] or merges}.")
    lefts, rights = (np.array(_known(ids, side), "int64") for side in zip(*sides, strict=True))
    merged = np.array(_known(ids, [left + right for left, right in sides]), "int64")
    # Of a pair that stands there twice, the last counts, as in Hugging Face's tokenizers.
    pairs, ranks = np.unique((lefts * len(ids) + rights)[::-1], return_index=True)
    ranks = len(merges) - 1 - ranks
    return pairs, ranks.astype("int64"), merged[ranks]


def _known(ids: dict[str, int], tokens: Sequence[str]) -> list[int]:
    missing = [token for token in tokens if token not in ids]
    if missing:
        raise ValueError(
            "Expected a byte-level vocabulary with all 256 bytes and all that merges name. "
            f"Received: {len(ids)} tokens without {missing[:5]}."
        )
    return [ids[token] for token in tokens]
