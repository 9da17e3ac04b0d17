"""Examples behind datasets: their order, and what tells them apart."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.data.examples import examples_of


def digests(data):
    return list(examples_of(data).digests())


def make(source, tmp_path, picture_folder, **options):
    if source == "folder":
        return kx.image_folder(picture_folder, image_size=(16, 16), batch_size=4, **options)
    if source == "tfds":
        folder = tmp_path / "tfds"
        return kx.tfds("emoji_styles/noto", image_size=(16, 16), data_dir=folder, **options)
    x = np.random.default_rng(0).integers(0, 255, (20, 16, 16, 3), dtype="uint8")
    return kx.arrays(x, [0, 1] * 10, batch_size=4, **options)


@pytest.mark.parametrize("source", ["arrays", "folder", "tfds"])
def test_examples_come_in_the_order_of_their_dataset(source, tmp_path, picture_folder):
    data = make(source, tmp_path, picture_folder)
    for part in (data.train, data.validation):
        examples = examples_of(part)
        count = len(digests(part))
        by_number = {
            int(number): picture
            for numbers, pictures in examples.inputs(np.ones(count, bool))
            for number, picture in zip(numbers, pictures.numpy(), strict=True)
        }
        assert sorted(by_number) == list(range(count))
        again = make(source, tmp_path, picture_folder)
        same = again.train if part is data.train else again.validation
        for _ in range(2):  # epochs
            for (pictures, labels), (numbers, found) in zip(same, examples.batches(), strict=True):
                np.testing.assert_array_equal(labels, examples.label(found))
                expected = np.stack([by_number[int(number)] for number in numbers])
                np.testing.assert_array_equal(pictures, expected)


def test_one_shuffle_counts_epochs_for_a_dataset_and_its_examples(tiny_data):
    examples = examples_of(tiny_data.train)

    def order():
        return np.concatenate([numbers for numbers, _ in examples.batches()]).tolist()

    again = kx.arrays(np.zeros([40, 32, 32, 3], "uint8"), [0, 1] * 20, batch_size=8, test_split=0.2)
    orders = []
    for epoch in range(3):
        if epoch == 1:
            list(tiny_data.train)
            list(again.train)
            continue
        orders.append(order())
        other = [n for n, _ in examples_of(again.train).batches()]
        assert np.concatenate(other).tolist() == orders[-1]
    assert orders[0] != orders[1]


def test_only_the_wanted_pictures_are_loaded(tiny_data):
    wanted = np.arange(len(digests(tiny_data.validation))) % 3 == 1
    numbers = np.concatenate([n for n, _ in examples_of(tiny_data.validation).inputs(wanted)])
    np.testing.assert_array_equal(numbers, np.flatnonzero(wanted))


def test_one_pixel_makes_another_example_and_no_other():
    x = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), dtype="uint8")
    changed = x.copy()
    changed[3, 5, 5, 1] ^= 1
    before, after = (
        set(digests(kx.arrays(p, [0, 1] * 5, validation_split=0.0).train)) for p in (x, changed)
    )
    assert len(before - after) == len(after - before) == 1


def test_a_changed_file_makes_another_example(picture_folder, encode):
    before = set(digests(kx.image_folder(picture_folder, validation_split=0.0).train))
    (picture_folder / "dark" / "0.png").write_bytes(encode(np.zeros([20, 30, 3], "uint8")))
    after = set(digests(kx.image_folder(picture_folder, validation_split=0.0).train))
    assert len(before) == len(after) == 20
    assert len(after - before) == 1


@pytest.mark.parametrize("other", [{"image_size": (17, 16)}, {"resize": "crop"}])
def test_other_sizes_make_other_examples(other):
    x = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), dtype="uint8")
    options = {"image_size": (16, 16), "validation_split": 0.0}
    one = digests(kx.arrays(x, [0, 1] * 5, **options).train)
    two = digests(kx.arrays(x, [0, 1] * 5, **{**options, **other}).train)
    assert not set(one) & set(two)


def test_labels_and_seeds_do_not_make_other_examples():
    x = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), dtype="uint8")
    one = kx.arrays(x, [0, 1] * 5, validation_split=0.0)
    two = kx.arrays(x, [1, 0] * 5, validation_split=0.0, seed=3)
    assert set(digests(one.train)) == set(digests(two.train))


def test_numbers_in_another_shape_or_dtype_are_other_pictures():
    x = np.zeros([4, 4, 9, 3], "uint8")
    found = [
        digests(kx.arrays(p, [0, 1] * 2, image_size=(4, 4), validation_split=0.0).train)[0]
        for p in (x, x.reshape(4, 9, 4, 3), x.astype("float32"))
    ]
    assert len(set(found)) == 3


def test_a_dataset_that_was_changed_has_no_examples(tiny_data):
    assert examples_of(tiny_data.train.take(1)) is None
    assert examples_of(tf.data.Dataset.range(3)) is None


def test_what_happens_to_the_array_afterwards_changes_nothing():
    x = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), dtype="uint8")
    data = kx.arrays(x, [0, 1] * 5, validation_split=0.0).train
    before = digests(data)
    x[:] = 255 - x
    assert digests(data) == before
