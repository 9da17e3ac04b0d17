"""What a `tokenizer.json` of Hugging Face says, as the layer that does the same."""

from __future__ import annotations

import json
from typing import Any

from keras_transfer.backbones.byte_pair import BytePair
from keras_transfer.backbones.text_preprocessor import TextPreprocessor
from keras_transfer.backbones.word_piece import WordPiece

SUPPORTED = (
    "WordPiece as of BertTokenizer, DistilBertTokenizer, ElectraTokenizer, MPNetTokenizer, and "
    "byte-level BPE as of GPT2Tokenizer, RobertaTokenizer, LongformerTokenizer"
)
# What the layers do; a tokenizer that does otherwise is refused.
_WORD_PIECE: dict[str, dict[str, Any]] = {
    "normalizer": {"type": "BertNormalizer", "clean_text": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "model": {
        "type": "WordPiece",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    },
}
_BYTE_PAIR: dict[str, dict[str, Any]] = {
    "normalizer": {},
    "pre_tokenizer": {"type": "ByteLevel", "use_regex": True},
    "model": {
        "type": "BPE",
        "dropout": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "byte_fallback": False,
        "ignore_merges": False,
    },
}


def to_layer(
    tokenizer: Any, *, sequence_length: int, vocabulary_size: int | None, segment_ids: bool
) -> TextPreprocessor:
    """The layer that gives the ids of a tokenizer of `transformers`.

    Args:
        tokenizer: `transformers.PreTrainedTokenizerBase`; its truncation and padding are taken
            away.
        sequence_length: int, see `kx.TextPreprocessor`.
        vocabulary_size: int, how many tokens the model knows; None where it does not say.
        segment_ids: bool, see there.

    Returns:
        A `kx.WordPiece` or `kx.BytePair`.

    Raises:
        ValueError: if it is neither, or its vocabulary has gaps or lacks special tokens.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = json.loads(backend.to_str()) if backend is not None else {}
    kinds = {"WordPiece": _WORD_PIECE, "BPE": _BYTE_PAIR}
    kind = (state.get("model") or {}).get("type")
    otherwise = _differences(state, kinds[kind]) if kind in kinds else f"model.type={kind!r}"
    if otherwise:
        raise ValueError(
            f"Expected one of the tokenizers that work: {SUPPORTED}. "
            f"Received: {type(tokenizer).__name__} with {otherwise}."
        )
    start, end = _around(backend)
    options = {
        "vocabulary": _vocabulary(state, set(tokenizer.all_special_tokens), vocabulary_size),
        "sequence_length": sequence_length,
        "start_tokens": start,
        "end_tokens": end,
        "pad_token": tokenizer.pad_token,
        "segment_ids": segment_ids,
    }
    return _word_piece(state, options) if kind == "WordPiece" else _byte_pair(state, options)


def _word_piece(state: dict[str, Any], options: dict[str, Any]) -> WordPiece:
    normalizer = state["normalizer"]
    return WordPiece(
        **options,
        lowercase=normalizer["lowercase"],
        strip_accents=normalizer["strip_accents"],
        split_ideographs=normalizer["handle_chinese_chars"],
        unknown_token=state["model"]["unk_token"],
    )


def _byte_pair(state: dict[str, Any], options: dict[str, Any]) -> BytePair:
    merges = state["model"]["merges"]
    return BytePair(
        **options,
        # Files of older versions hold "left right", others ["left", "right"].
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in merges],
        add_prefix_space=state["pre_tokenizer"]["add_prefix_space"],
    )


def _differences(state: dict[str, Any], expected: dict[str, dict[str, Any]]) -> str:
    """What is not as the layer does it, in words; empty where all is."""
    found = []
    for part, settings in expected.items():
        given = state.get(part) or {}
        if given and not settings:
            found.append(f"{part}={given!r:.80}")
        for key, value in settings.items():
            # An empty suffix is none.
            if (given.get(key) or None) != (value or None):
                found.append(f"{part}.{key}={given.get(key)!r:.80}")
    return ", ".join(found)


def _around(backend: Any) -> tuple[list[str], list[str]]:
    """The special tokens in front of a text and behind it; asked for, as many ways lead there."""
    backend.no_truncation()
    backend.no_padding()
    try:
        encoded = backend.encode("a")
    except Exception as error:  # `tokenizers` raises nothing more special
        raise ValueError(
            f"Expected a vocabulary with all special tokens. Received: {error}."
        ) from error
    inside = [place for place, special in enumerate(encoded.special_tokens_mask) if not special]
    return encoded.tokens[: inside[0]], encoded.tokens[inside[-1] + 1 :]


def _vocabulary(state: dict[str, Any], special: set[str], size: int | None) -> list[str]:
    tokens = {number: token for token, number in state["model"]["vocab"].items()}
    added = {entry["id"]: entry["content"] for entry in state["added_tokens"]}
    ordinary = [token for number, token in added.items() if token not in special]
    unknown = sorted(set(ordinary) - set(state["model"]["vocab"]))
    if unknown:
        raise ValueError(
            "Expected added tokens to be special ones; others would have to be found in texts "
            f"before anything else. Received: {unknown[:5]}."
        )
    tokens.update(added)
    missing = sorted(set(range(max(tokens) + 1)) - set(tokens))
    if missing:
        raise ValueError(
            "Expected a vocabulary with every id once; a token that stands there twice leaves its "
            f"first id without one. Received: no token for the ids {missing[:5]}."
        )
    # `transformers` appends special tokens that a file lacks; the model has no vectors for them.
    return [tokens[number] for number in sorted(tokens)][:size]
