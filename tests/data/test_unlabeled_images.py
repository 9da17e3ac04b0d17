"""A folder of pictures without classes."""

import numpy as np
import pytest

from keras_transfer.data.unlabeled_images import holds_no_folders, unlabeled_image_folder

OPTIONS = {
    "image_size": (8, 8),
    "batch_size": 4,
    "validation_split": 0.25,
    "seed": 0,
    "resize": "stretch",
    "on_error": "raise",
}


@pytest.fixture
def flat(tmp_path, encode):
    for number in range(12):
        pixels = np.full([9, 9, 3], number, np.uint8)
        (tmp_path / f"{number}.png").write_bytes(encode(pixels))
    return tmp_path


def test_each_picture_is_in_one_part_without_a_label(flat):
    data = unlabeled_image_folder(flat, ["cat", "dog"], **OPTIONS)
    parts = [
        np.concatenate([x.numpy()[:, 0, 0, 0] for x, _ in part])
        for part in (data.train, data.validation)
    ]
    assert [len(part) for part in parts] == [9, 3]
    assert sorted(np.concatenate(parts)) == list(range(12))
    assert {int(y) for _, labels in data.train for y in labels} == {-1}
    assert data.test is None
    assert data.class_names == ["cat", "dog"]
    assert data.train.resize == "stretch"


def test_folders_make_classes_and_nothing_makes_no_data(flat, tmp_path):
    assert holds_no_folders(flat)
    (flat / ".hidden").mkdir()
    assert holds_no_folders(flat)
    (flat / "cats").mkdir()
    assert not holds_no_folders(flat)
    empty = tmp_path / "cats"
    assert not holds_no_folders(empty)
    assert not holds_no_folders(tmp_path / "missing")
