import pytest

import keras_transfer as kx
from keras_transfer.backbones.words import Words

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


def write_sentences(folder):
    """A data set as tensorflow_datasets prepares them; the labels of "test" are hidden."""
    import tensorflow as tf

    features = tensorflow_datasets.features.FeaturesDict(
        {
            "sentence": tensorflow_datasets.features.Text(),
            "label": tensorflow_datasets.features.ClassLabel(names=["bad", "good"]),
        }
    )
    labels = {"train": [0, 1] * 10, "test": [-1] * 5}
    parts = {
        part: tf.data.Dataset.from_tensor_slices(
            {"sentence": [f"{part} {n}" for n in range(len(found))], "label": found}
        )
        for part, found in labels.items()
    }
    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        "sentences", "1.0.0", features=features, split_datasets=parts, data_dir=folder
    )


def test_the_feature_of_texts_may_be_named(tmp_path):
    write_sentences(tmp_path)
    data = kx.tfds("sentences", text="sentence", data_dir=tmp_path, validation_split=0.2)
    found = {
        (text.decode(), int(label))
        for part in (data.train, data.validation)
        for texts, labels in part
        for text, label in zip(texts.numpy(), labels, strict=True)
    }
    assert found == {(f"train {n}", n % 2) for n in range(20)}
    assert (data.num_train, data.class_names) == (16, ["bad", "good"])
    assert data.test is None  # nobody knows its labels
    for text in (None, "words"):
        with pytest.raises(ValueError, match="`text=` names the feature"):
            kx.tfds("sentences", text=text, data_dir=tmp_path)


def test_pictures_take_no_preprocessor(data_dir):
    with pytest.raises(ValueError, match="data set of texts for `preprocessor`"):
        kx.tfds("emoji_styles/openmoji", data_dir=data_dir, preprocessor=Words(["a"]))


def test_texts_of_data_sets_that_say_so_through_mocked_data():
    with tensorflow_datasets.testing.mock_data(num_examples=20):
        data = kx.tfds("imdb_reviews", batch_size=5, validation_split=0.25)
        texts, labels = next(iter(data.train))
        tokens = kx.tfds("imdb_reviews", batch_size=5, preprocessor=Words(["a"]))
        batch, _ = next(iter(tokens.train))
    assert (texts.dtype, texts.shape) == ("string", (5,))
    assert data.class_names == ["neg", "pos"]
    assert (data.num_train, data.image_size, data.resize) == (20, None, None)
    assert set(batch) == {"token_ids", "padding_mask"}
    assert tokens.train.preprocessor is tokens.preprocessor
