import random

import pytest

import keras_transfer as kx

LETTERS = kx.BytePair.byte_letters()


@pytest.fixture(
    params=[("gpt2", False), ("gpt2", True), ("roberta", False), ("roberta", True)],
    ids=lambda param: f"{param[0]}, prefix space {param[1]}",
)
def both(request, byte_pair_folders):
    """A checkpoint's tokenizer by us and by transformers."""
    transformers = pytest.importorskip("transformers")
    kind, add_prefix_space = request.param
    folder = byte_pair_folders[kind]
    config = kx.load_preprocessor(f"hf://{folder}").get_config()
    config |= {"add_prefix_space": add_prefix_space, "sequence_length": 512}
    theirs = transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, add_prefix_space=add_prefix_space
    )
    return kx.BytePair.from_config(config), theirs


def test_every_review_has_the_ids_of_transformers(both, review_texts, ids_of, expected_ids):
    ours, theirs = both
    assert ids_of(ours, review_texts) == expected_ids(theirs, review_texts)


def test_hard_texts_have_the_ids_of_transformers(both, hard_texts, ids_of, expected_ids):
    ours, theirs = both
    assert ids_of(ours, hard_texts) == expected_ids(theirs, hard_texts)


def test_random_texts_have_the_ids_of_transformers(both, ids_of, expected_ids):
    ours, theirs = both
    pieces = [
        " ",
        "  ",
        "\n",
        "\t",
        "\xa0",
        "\u3000",
        "'s",
        "'",
        "'LL",
        "a",
        "the",
        "aa",
        "1",
        "22",
    ]
    pieces += ["é", "e\u0301", "!", "...", "中", "😀", "\0", "\u200b", "_", "½", "Ⅷ", "ש", "\x85"]
    draw = random.Random(0)
    texts = ["".join(draw.choices(pieces, k=draw.randint(1, 12))) for _ in range(3000)]
    assert ids_of(ours, texts) == expected_ids(theirs, texts)


def test_long_text_is_cut_as_in_transformers(both, review_texts, ids_of, expected_ids):
    ours, theirs = both
    ours = kx.BytePair.from_config({**ours.get_config(), "sequence_length": 16})
    texts = [*review_texts[:200], "word " * 20_000, "\n" * 1000, "- " * 50_000]
    assert ids_of(ours, texts) == expected_ids(theirs, texts, truncation=True, max_length=16)


def test_every_character_is_split_as_in_transformers(both, ids_of, expected_ids):
    ours, theirs = both
    if theirs.cls_token is not None or ours.add_prefix_space:
        pytest.skip("the same for all of them")
    # Without ideographs, syllables, surrogates and private characters, which are all alike.
    points = [*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x11000)]
    texts = [f"a{chr(point)}b  {chr(point)} 1{chr(point)}{chr(point)}" for point in points]
    assert ids_of(ours, texts) == expected_ids(theirs, texts)


def test_very_long_word_is_merged_in_parts_of_1024_bytes(both, ids_of, expected_ids):
    ours, theirs = both
    if ours.add_prefix_space:
        pytest.skip("the second part would get a space, too")
    whole = {"sequence_length": 5000, "start_tokens": [], "end_tokens": []}
    word = "".join(random.Random(1).choices("etaoinshr", k=1500))
    expected = expected_ids(theirs, [word[:1024], word[1024:]], add_special_tokens=False)
    assert ids_of(kx.BytePair.from_config(ours.get_config() | whole), [word]) == [sum(expected, [])]


def test_overlapping_pairs_merge_from_the_left():
    pairs = kx.BytePair([*LETTERS, "aa", "aaa"], ["a a", "aa a"])
    texts = ["a" * length for length in range(1, 7)]
    ids = [[i for i in row if i] for row in pairs(texts)["token_ids"].numpy().tolist()]
    a, aa, aaa = 97, 256, 257
    assert ids == [[a], [aa], [aaa], [aa, aa], [aa, aaa], [aa, aa, aa]]


def test_pair_that_stands_twice_counts_by_its_last_place(ids_of):
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = [*LETTERS, "ab", "bc"]
    merges = ["a b", "b c", "a b"]
    model = tokenizers.models.BPE(
        {token: number for number, token in enumerate(vocabulary)},
        [tuple(merge.split()) for merge in merges],
    )
    expected = tokenizers.Tokenizer(model).encode("abc").ids
    assert ids_of(kx.BytePair(vocabulary, merges), ["abc"]) == [expected]


def test_vocabulary_without_a_byte_is_refused():
    with pytest.raises(ValueError, match=r"256 bytes.*Received: .*without \['z'\]"):
        kx.BytePair([*(letter for letter in LETTERS if letter != "z"), "lo"], ["l o"])


def test_merge_without_its_token_is_refused():
    with pytest.raises(ValueError, match=r"Received: .*without \['ow'\]"):
        kx.BytePair([*LETTERS, "lo"], ["l o", "o w"])


@pytest.mark.parametrize("merges", [[], ["lo"], ["l o w"]])
def test_merges_of_another_form_are_refused(merges):
    with pytest.raises(ValueError, match="Expected merges such as 'l o'. Received"):
        kx.BytePair([*LETTERS, "lo"], merges)
