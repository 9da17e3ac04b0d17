"""Training and validation data as one."""

import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.backbones.words import Words
from keras_transfer.data.data_fingerprint import data_fingerprint
from keras_transfer.data.examples import examples_of
from keras_transfer.data.joined import joined


def pictures(folder, **options):
    return kx.image_folder(folder, image_size=(16, 16), batch_size=4, **options)


def seen(dataset):
    """Each example with its label, in the order of the dataset."""
    return [
        (np.asarray(x).tobytes(), int(y))
        for batch, labels in dataset
        for x, y in zip(tf.nest.flatten(batch)[0], labels, strict=True)
    ]


def test_pictures_of_both_come_shuffled_together(picture_folder):
    data = pictures(picture_folder, validation_split=0.3)
    both = joined(data.train, data.validation)
    first, second = seen(both), seen(both)
    assert sorted(first) == sorted(second) == sorted(seen(data.train) + seen(data.validation))
    assert first != second
    assert both.resize == "stretch"
    # Neither part lies at one end.
    of_validation = {content for content, _ in seen(data.validation)}
    places = [content in of_validation for content, _ in first]
    assert 0 < sum(places[:10]) < sum(places)


def test_numbers_of_both_say_what_is_in_them(picture_folder):
    data = pictures(picture_folder, validation_split=0.3)
    examples = examples_of(joined(data.train, data.validation))
    parts = [examples_of(part).digests() for part in (data.train, data.validation)]
    assert list(examples.digests()) == [digest for part in parts for digest in part]
    numbers = sorted(int(n) for batch, _ in examples.batches() for n in batch)
    assert numbers == list(range(20))


def test_others_are_concatenated(picture_folder):
    data = pictures(picture_folder, validation_split=0.3)
    other = data.validation.map(lambda x, y: (x, y))
    both = seen(joined(data.train, other))
    assert both[len(both) - 6 :] == seen(data.validation)
    assert sorted(both[:-6]) == sorted(seen(data.train))


def test_the_fingerprint_is_of_contents_and_labels_in_any_order(picture_folder):
    def of(**options):
        return data_fingerprint(pictures(picture_folder, **options).train)

    whole = of(validation_split=0.0)
    assert whole == of(validation_split=0.0, seed=5)
    assert whole != of(validation_split=0.3)
    assert of(validation_split=0.3, seed=5) != of(validation_split=0.3)
    data = pictures(picture_folder, validation_split=0.3)
    assert data_fingerprint(joined(data.train, data.validation)) == whole
    x = np.zeros([4, 8, 8, 3], "uint8")
    one, other = (kx.arrays(x, y, validation_split=0.0) for y in ([0, 0, 1, 1], [0, 1, 1, 1]))
    assert data_fingerprint(one.train) != data_fingerprint(other.train)


def test_of_other_data_the_fingerprint_is_of_shapes():
    def of(count):
        return data_fingerprint(tf.data.Dataset.from_tensor_slices(np.zeros(count)).batch(2))

    assert of(4) == of(4) != of(8)


WORDS = Words(["a", *(f"n{n}" for n in range(30))], sequence_length=12)


@pytest.mark.parametrize("preprocessor", [None, WORDS], ids=["strings", "padded"])
def test_texts_of_both_come_together(preprocessor, tmp_path):
    texts = [f"n{n}{' a' * (n * 7 % 10)}" for n in range(30)]
    labels = np.arange(30) % 2
    rows = "".join(f"{text},{label}\n" for text, label in zip(texts, labels, strict=True))
    table = tmp_path / "table.csv"
    table.write_text(f"text,label\n{rows}")
    data = kx.text_table(table, text="text", label="label", preprocessor=preprocessor, batch_size=4)
    both = joined(data.train, data.validation)

    def numbers(dataset):
        return [
            (np.asarray(text).ravel()[0], int(label))
            for batch, labels in dataset
            for text, label in zip(tf.nest.flatten(batch)[-1], labels, strict=True)
        ]

    assert len(numbers(both)) == 30
    assert sorted(numbers(both)) == sorted(numbers(data.train) + numbers(data.validation))
    examples = examples_of(both)
    parts = [examples_of(part) for part in (data.train, data.validation)]
    assert sorted(examples.digests()) == sorted(x for part in parts for x in part.digests())
    if preprocessor is not None:
        assert (np.diff(examples.lengths) >= 0).all()
        few, more = examples.padded_twice()
        assert few["token_ids"].shape[1] < more["token_ids"].shape[1] == examples.lengths[-1]
        # Each number stands for the same text in all that is said of it.
        contents = [content.decode() for content in examples.contents()]
        for numbers_of, tokens in examples.inputs(np.ones(30, bool)):
            for number, row in zip(numbers_of.numpy(), tokens["token_ids"].numpy(), strict=True):
                assert contents[number].split()[0] == f"n{row[0] - 3}"
                assert (row != 0).sum() == examples.lengths[number]
