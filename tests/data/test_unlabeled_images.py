"""A folder of pictures without classes."""

import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.data.unlabeled_images import holds_no_folders

OPTIONS = {"image_size": (8, 8), "batch_size": 4, "validation_split": 0.25}


@pytest.fixture
def flat(tmp_path, encode):
    for number in range(12):
        pixels = np.full([9, 9, 3], number, np.uint8)
        (tmp_path / f"{number}.png").write_bytes(encode(pixels))
    return tmp_path


def test_each_picture_is_in_one_part_without_a_label(flat):
    data = kx.unlabeled_image_folder(flat, **OPTIONS)
    parts = [
        np.concatenate([x.numpy()[:, 0, 0, 0] for x, _ in part])
        for part in (data.train, data.validation)
    ]
    assert [len(part) for part in parts] == [9, 3]
    assert sorted(np.concatenate(parts)) == list(range(12))
    assert {int(y) for _, labels in data.train for y in labels} == {-1}
    assert data.test is None
    assert data.class_names == []
    assert data.train.resize == "stretch"


def test_it_is_a_target_beside_a_source(flat):
    source = tf.data.Dataset.from_tensors((np.zeros([4, 8, 8, 3], "float32"), np.zeros(4, int)))
    target = kx.unlabeled_image_folder(str(flat), **OPTIONS)
    for inputs, labels in kx.pair_domains(source, target.train, target_labels="ignore"):
        assert inputs["target"].shape[1:] == (8, 8, 3)
        assert list(labels) == ["source"]


def test_names_of_folders_mean_nothing(flat):
    (flat / "cats").mkdir()
    (flat / "0.png").rename(flat / "cats" / "0.png")
    data = kx.unlabeled_image_folder(flat, **OPTIONS | {"validation_split": 0})
    assert data.num_train == 12
    assert data.validation is None


def test_what_is_no_folder_of_pictures_is_refused(flat, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        kx.unlabeled_image_folder(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty. Received: none"):
        kx.unlabeled_image_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match="'raise' or 'skip'. Received: 'ignore'"):
        kx.unlabeled_image_folder(flat, on_error="ignore")
    (flat / "0.png").write_bytes(b"no picture")
    with pytest.raises(kx.UnreadablePicturesError, match="1 unreadable"):
        kx.unlabeled_image_folder(flat)
    assert kx.unlabeled_image_folder(flat, on_error="skip").num_train == 9


def test_folders_make_classes_and_nothing_makes_no_data(flat, tmp_path):
    assert holds_no_folders(flat)
    (flat / ".hidden").mkdir()
    assert holds_no_folders(flat)
    (flat / "cats").mkdir()
    assert not holds_no_folders(flat)
    empty = tmp_path / "cats"
    assert not holds_no_folders(empty)
    assert not holds_no_folders(tmp_path / "missing")
