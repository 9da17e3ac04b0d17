import shutil

import numpy as np
import pytest

import keras_transfer as kx

OPTIONS = {"image_size": (16, 24), "batch_size": 4}


def labels_of(dataset):
    return np.concatenate([labels.numpy() for _, labels in dataset])


def pixels_of(dataset):
    return np.concatenate([pictures.numpy() for pictures, _ in dataset])


def test_flat_folder_is_split_in_proportion(picture_folder):
    data = kx.image_folder(picture_folder, validation_split=0.2, test_split=0.3, **OPTIONS)
    assert data.class_names == ["bright", "dark"]
    counts = [
        np.bincount(labels_of(part)).tolist() for part in (data.train, data.validation, data.test)
    ]
    assert counts == [[5, 5], [2, 2], [3, 3]]


def test_batches_are_float_pixels_and_int_labels(picture_folder):
    data = kx.image_folder(picture_folder, **OPTIONS)
    pictures, labels = next(iter(data.train))
    assert pictures.shape == (4, 16, 24, 3)
    assert (pictures.dtype, labels.dtype) == ("float32", "int32")
    means = pixels_of(data.validation).mean((1, 2, 3))
    np.testing.assert_array_equal(means < 125, labels_of(data.validation) == 1)


def test_same_seed_gives_the_same_epochs_in_changing_order(picture_folder):
    first, second = (kx.image_folder(picture_folder, seed=5, **OPTIONS) for _ in range(2))
    epochs = [pixels_of(data.train) for data in (first, first, second, second)]
    np.testing.assert_array_equal(epochs[0], epochs[2])
    np.testing.assert_array_equal(epochs[1], epochs[3])
    assert not np.array_equal(epochs[0], epochs[1])


def test_validation_comes_in_a_fixed_order(picture_folder):
    data = kx.image_folder(picture_folder, **OPTIONS)
    np.testing.assert_array_equal(pixels_of(data.validation), pixels_of(data.validation))


@pytest.mark.parametrize("validation_name", ["validation", "val", None])
def test_ready_made_parts_are_taken_as_they_are(picture_folder, tmp_path, validation_name):
    root = tmp_path / "ready"
    names = ["train", "test", *([validation_name] if validation_name else [])]
    for name in names:
        shutil.copytree(picture_folder, root / name)
    (root / "test" / "dark" / "0.png").unlink()
    data = kx.image_folder(root, validation_split=0.3, **OPTIONS)
    assert len(labels_of(data.test)) == 19
    expected = (20, 20) if validation_name else (14, 6)
    assert (len(labels_of(data.train)), len(labels_of(data.validation))) == expected


def test_without_shares_there_is_train_alone(picture_folder):
    data = kx.image_folder(picture_folder, validation_split=0.0, **OPTIONS)
    assert data.validation is None
    assert data.test is None
    assert len(labels_of(data.train)) == 20


def test_hidden_and_other_files_are_passed_over(picture_folder):
    (picture_folder / "dark" / ".DS_Store").write_bytes(b"\0")
    (picture_folder / "dark" / "notes.txt").write_text("hello")
    (picture_folder / ".git").mkdir()
    data = kx.image_folder(picture_folder, validation_split=0.0, **OPTIONS)
    assert len(labels_of(data.train)) == 20


def test_folders_inside_class_folders_belong_to_the_class(picture_folder):
    (picture_folder / "dark" / "more").mkdir()
    shutil.copy(picture_folder / "dark" / "0.png", picture_folder / "dark" / "more" / "0.PNG")
    data = kx.image_folder(picture_folder, validation_split=0.0, **OPTIONS)
    assert np.bincount(labels_of(data.train)).tolist() == [10, 11]


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        kx.image_folder(tmp_path / "nowhere")


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at least two class folders.*\[\]"):
        kx.image_folder(tmp_path)


def test_empty_class_folder_is_named(picture_folder):
    (picture_folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"none for \['empty'\]"):
        kx.image_folder(picture_folder)


def test_class_with_one_picture_is_named(picture_folder):
    (picture_folder / "rare").mkdir()
    shutil.copy(picture_folder / "dark" / "0.png", picture_folder / "rare" / "0.png")
    with pytest.raises(ValueError, match=r"at least 2 examples.*\{'rare': 1\}"):
        kx.image_folder(picture_folder)


def test_parts_with_other_classes_are_refused(picture_folder, tmp_path):
    shutil.copytree(picture_folder, tmp_path / "ready" / "train")
    shutil.copytree(picture_folder / "dark", tmp_path / "ready" / "test" / "dark")
    shutil.copytree(picture_folder / "dark", tmp_path / "ready" / "test" / "drak")
    with pytest.raises(ValueError, match=r"missing \['bright'\], unknown \['drak'\]"):
        kx.image_folder(tmp_path / "ready")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"resize": "squash"}, "Received: resize='squash'"),
        ({"on_error": "ignore"}, "Received: 'ignore'"),
        ({"image_size": (0, 4)}, r"Received: \(0, 4\)"),
        ({"batch_size": 0}, "Received: 0"),
        ({"validation_split": 1.5}, "Received: .*1.5"),
    ],
)
def test_settings_out_of_range_are_refused(picture_folder, option, message):
    with pytest.raises(ValueError, match=message):
        kx.image_folder(picture_folder, **option)


def test_empty_test_folder_is_refused_before_training(picture_folder, tmp_path):
    shutil.copytree(picture_folder, tmp_path / "ready" / "train")
    for name in ("dark", "bright"):
        (tmp_path / "ready" / "test" / name).mkdir(parents=True)
    with pytest.raises(ValueError, match="readable pictures .*in .*test"):
        kx.image_folder(tmp_path / "ready")
