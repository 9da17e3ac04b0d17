"""Batches of tokens: each text once, little padding, in an order that nothing can be read from."""

from __future__ import annotations

import collections

import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.backbones.words import Words
from keras_transfer.data.examples import examples_of, rebatched
from keras_transfer.data.review_domains import TABLE
from keras_transfer.data.table_rows import table_rows
from keras_transfer.data.texts import make_text_splits

COUNT = 501
# Text n is n times the word "a", between a word for its number and its end.
WORDS = Words(["a", *(f"n{n}" for n in range(COUNT))], sequence_length=40)


def numbered_texts(batch_size=4, seed=0, preprocessor=WORDS, part="train"):
    random = np.random.default_rng(3)
    sizes = random.integers(0, 60, COUNT)
    texts = np.array([f"n{n}{' a' * size}".encode() for n, size in enumerate(sizes)], object)
    parts = {"train": (texts, np.arange(COUNT) % 2), part: (texts, np.arange(COUNT) % 2)}
    data = make_text_splits(
        parts,
        class_names=["even", "odd"],
        preprocessor=preprocessor,
        batch_size=batch_size,
        seed=seed,
    )
    return getattr(data, part)


def numbers_of(batch):
    return batch["token_ids"].numpy()[:, 0] - 3


def epoch(dataset):
    return [numbers_of(tokens) for tokens, _ in dataset]


@pytest.mark.parametrize("batch_size", [1, 32, 600])
@pytest.mark.parametrize("part", ["train", "validation"])
def test_every_text_comes_once_an_epoch_in_full_batches(batch_size, part):
    data = numbered_texts(batch_size, part=part)
    for _ in range(2):
        batches = epoch(data)
        assert len(batches) == int(data.cardinality()) == -(-COUNT // batch_size)
        assert sorted(np.concatenate(batches)) == list(range(COUNT))
        assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    for tokens, labels in data.take(3):
        np.testing.assert_array_equal(numbers_of(tokens) % 2, labels)


def test_batches_are_padded_to_their_longest_text_and_cut_by_the_preprocessor():
    longest = 0
    for tokens, _ in numbered_texts():
        mask = tokens["padding_mask"].numpy()
        assert mask.any(axis=0).all()
        np.testing.assert_array_equal(mask, tokens["token_ids"].numpy() != 0)
        longest = max(longest, mask.shape[1])
    assert longest == 40


def test_the_same_seed_gives_the_same_epochs_in_changing_order():
    one, same, other = numbered_texts(), numbered_texts(), numbered_texts(seed=1)
    epochs = [np.concatenate(epoch(data)).tolist() for data in (one, one, same, same, other)]
    assert epochs[0] == epochs[2]
    assert epochs[1] == epochs[3]
    assert len({tuple(found) for found in epochs}) == 3


def test_validation_comes_from_the_shortest_to_the_longest_each_time():
    data = numbered_texts(part="validation")
    lengths = [tokens["padding_mask"].numpy().sum(1).tolist() for tokens, _ in data]
    assert sum(lengths, []) == sorted(sum(lengths, []))
    assert np.concatenate(epoch(data)).tolist() == np.concatenate(epoch(data)).tolist()


def test_where_a_batch_comes_says_nothing_of_its_length():
    data, lengths = numbered_texts(), []
    for _ in range(8):
        found = [tokens["padding_mask"].shape[1] for tokens, _ in data]
        lengths.append(found[:-1])  # what is left over comes last
    # Of 8 epochs of 125 batches the mean correlation is 0.03 by chance.
    place = np.arange(len(lengths[0]))
    assert abs(np.mean([np.corrcoef(place, row)[0, 1] for row in lengths])) < 0.08
    first = [row[0] for row in lengths]
    assert min(first) < 20 < max(first)


def test_texts_of_a_batch_change_from_epoch_to_epoch():
    data = numbered_texts()
    batches = [{frozenset(batch.tolist()) for batch in epoch(data)} for _ in range(2)]
    assert len(batches[0] & batches[1]) < 10


def test_little_of_the_movie_reviews_is_padding():
    counts = collections.Counter(
        word for _, [text] in table_rows(TABLE, ["text"]) for word in text.lower().split()
    )
    words = Words([word for word, _ in counts.most_common(1000)], lowercase=True)
    data = kx.review_domains("movies", preprocessor=words)
    for part, most in ((data.train, 0.04), (data.validation, 0.04), (data.test, 0.04)):
        masks = [tokens["padding_mask"].numpy() for tokens, _ in part]
        assert 1 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks) < most
        assert sum(map(len, masks)) == len(list(examples_of(part).digests()))
    # Batches still hold both classes: the share of one differs as in plain ones, where it is
    # binomial.
    shares = [float(np.mean(labels)) for _, labels in data.train]
    assert np.std(shares) < 1.3 * np.sqrt(0.25 / 32)


def test_another_size_of_batches_is_padded_anew():
    data = rebatched(numbered_texts(4), 7)
    batches = epoch(data)
    assert int(data.cardinality()) == len(batches) == -(-COUNT // 7)
    assert sorted(np.concatenate(batches)) == list(range(COUNT))
    masks = [tokens["padding_mask"].numpy() for tokens, _ in data]
    assert sum(mask.sum() for mask in masks) > 0.9 * sum(mask.size for mask in masks)


def test_examples_come_in_the_order_of_their_dataset():
    for part in ("train", "validation"):
        data, same = numbered_texts(part=part), numbered_texts(part=part)
        examples = examples_of(data)
        by_number = {}
        for numbers, tokens in examples.inputs(np.ones(COUNT, bool)):
            by_number |= dict(zip(numbers.numpy().tolist(), numbers_of(tokens), strict=True))
        assert sorted(by_number) == list(range(COUNT))
        for _ in range(2):
            for (tokens, labels), (numbers, found) in zip(same, examples.batches(), strict=True):
                np.testing.assert_array_equal(labels, examples.label(found))
                expected = [by_number[int(number)] for number in numbers]
                np.testing.assert_array_equal(numbers_of(tokens), expected)


def test_only_the_wanted_texts_are_tokenized():
    wanted = np.arange(COUNT) % 50 == 7
    found = [numbers for numbers, _ in examples_of(numbered_texts()).inputs(wanted)]
    np.testing.assert_array_equal(np.concatenate(found), np.flatnonzero(wanted))


def test_examples_are_told_apart_by_text_and_preprocessor():
    def digests(**options):
        return set(examples_of(numbered_texts(**options)).digests())

    before = digests()
    assert len(before) == COUNT
    assert digests(batch_size=9, seed=4, preprocessor=WORDS) == before
    assert digests(preprocessor=Words(WORDS.vocabulary, sequence_length=40)) == before
    for other in (Words(WORDS.vocabulary), Words(WORDS.vocabulary[::-1], sequence_length=40), None):
        assert not digests(preprocessor=other) & before


def test_what_a_preprocessor_has_learnt_tells_it_from_others():
    def digests(*texts, mode="int"):
        layer = keras.layers.TextVectorization(output_mode=mode)
        layer.adapt(list(texts))
        return set(examples_of(numbered_texts(preprocessor=layer)).digests())

    assert digests("a b") == digests("a b")
    assert not digests("a b") & digests("a c")
    assert digests("a a", "a b", mode="tf_idf") == digests("a a", "a b", mode="tf_idf")
    # The same words as often, in another number of texts.
    assert not digests("a a", "b a", mode="tf_idf") & digests("a", "a", "a b", mode="tf_idf")


def test_a_preprocessor_of_a_fixed_length_leaves_texts_as_they_are_shuffled():
    layer = keras.layers.TextVectorization(output_sequence_length=8, vocabulary=["a"])
    data = numbered_texts(preprocessor=layer, part="validation")
    assert [tokens.shape for tokens, _ in data.take(2)] == [(4, 8)] * 2
    labels = np.concatenate([labels for _, labels in data])
    np.testing.assert_array_equal(labels, np.arange(COUNT) % 2)  # as they came


def test_a_preprocessor_without_a_mask_goes_by_bytes():
    layer = keras.layers.TextVectorization(vocabulary=["a"])
    tokens = [tokens.numpy() for tokens, _ in numbered_texts(preprocessor=layer)]
    assert sum(map(len, tokens)) == COUNT
    assert sum((batch != 0).sum() for batch in tokens) > 0.9 * sum(batch.size for batch in tokens)


@pytest.mark.parametrize(
    "layer", [keras.layers.TextVectorization(ragged=True, vocabulary=["a"]), "words", len]
)
def test_what_is_no_preprocessor_is_refused(layer):
    with pytest.raises(ValueError, match="`preprocessor`.*Received: "):
        numbered_texts(preprocessor=layer)


def test_texts_of_all_kinds_go_through(tmp_path):
    texts = ["", "   ", "a " * 100_000, "\N{GRINNING FACE} a", "\u05e9\u05dc\u05d5\u05dd a", "..."]
    sources = np.array([text.encode() for text in texts], object)
    words = Words(["a", "\N{GRINNING FACE}"], sequence_length=5)
    data = make_text_splits(
        {"train": (sources, np.zeros(6)), "test": (sources, np.arange(6))},
        class_names=list("abcdef"),
        preprocessor=words,
        batch_size=6,
        seed=0,
    )
    [(tokens, labels)] = data.test
    rows = dict(zip(labels.numpy().tolist(), tokens["token_ids"].numpy().tolist(), strict=True))
    full = {0: [], 1: [], 2: [2] * 5, 3: [3, 2], 4: [1, 2], 5: []}
    assert rows == {key: row + [0] * (5 - len(row)) for key, row in full.items()}
