import pytest

import keras_transfer as kx

tensorflow_datasets = pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


def test_bundled_builder_gives_the_pictures_of_the_folder(data_dir):
    options = {"image_size": (64, 64), "validation_split": 0.0}
    from_tfds = kx.tfds("emoji_styles/openmoji", data_dir=data_dir, **options)
    from_folder = kx.emoji_styles("openmoji", **options)
    assert from_tfds.class_names == from_folder.class_names

    def sums(dataset):
        rows = [
            (int(y), float(x.numpy().sum()))
            for xs, ys in dataset
            for x, y in zip(xs, ys, strict=True)
        ]
        return sorted(rows)

    assert sums(from_tfds.test) == sums(from_folder.test)
    assert sums(from_tfds.train) == sums(from_folder.train)


def test_missing_part_is_split_off_train(data_dir):
    data = kx.tfds(
        "emoji_styles/openmoji", data_dir=data_dir, image_size=(32, 32), validation_split=0.25
    )
    sizes = [sum(len(y) for _, y in part) for part in (data.train, data.validation, data.test)]
    assert sum(sizes[:2]) == 799
    assert abs(sizes[1] - 200) <= 1
    assert sizes[2] == 837


def test_other_data_sets_through_mocked_data():
    with tensorflow_datasets.testing.mock_data(num_examples=20):
        data = kx.tfds("mnist", image_size=(28, 28), batch_size=5)
        pictures, labels = next(iter(data.train))
    assert pictures.shape == (5, 28, 28, 3)
    assert data.class_names == [str(digit) for digit in range(10)]
    assert labels.numpy().max() < 10


def test_data_set_without_class_labels_is_refused():
    with (
        tensorflow_datasets.testing.mock_data(num_examples=2),
        pytest.raises(ValueError, match="pictures and class labels"),
    ):
        kx.tfds("div2k/bicubic_x2")


def test_shares_that_leave_nothing_are_refused(data_dir):
    with pytest.raises(ValueError, match="leave something"):
        kx.tfds("emoji_styles/openmoji", data_dir=data_dir, validation_split=1.0)
