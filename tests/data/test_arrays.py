import numpy as np
import pytest

import keras_transfer as kx

X = np.random.default_rng(0).integers(0, 256, (12, 6, 8, 3), dtype=np.uint8)
Y = np.arange(12) % 3


def test_pictures_and_labels_stay_together():
    data = kx.arrays(X, Y, validation_split=0.25, batch_size=5)
    for dataset in (data.train, data.validation):
        for pictures, labels in dataset:
            for picture, label in zip(pictures.numpy(), labels.numpy(), strict=True):
                [index] = np.flatnonzero((picture == X).all((1, 2, 3)))
                assert Y[index] == label


def test_names_as_labels_become_class_names():
    data = kx.arrays(X, np.array(["b", "a", "c"])[Y], validation_split=0.25)
    assert data.class_names == ["a", "b", "c"]


def test_grey_pictures_become_rgb_and_are_resized():
    data = kx.arrays(X[..., 0], Y, image_size=(4, 4), validation_split=0.25)
    pictures, _ = next(iter(data.train))
    assert pictures.shape[1:] == (4, 4, 3)
    np.testing.assert_array_equal(pictures[..., 0], pictures[..., 2])


def test_numbers_have_no_class_names():
    data = kx.arrays(X, np.linspace(0, 1, 12), validation_split=0.25)
    assert data.class_names == []
    assert next(iter(data.train))[1].dtype == "float32"


def test_rows_of_0_and_1_are_several_classes_at_once():
    data = kx.arrays(X, np.eye(3)[Y], class_names=["a", "b", "c"], validation_split=0.25)
    assert next(iter(data.train))[1].shape[1] == 3


@pytest.mark.parametrize(
    ("x", "y", "names", "message"),
    [
        (X, Y[:5], None, "as many pictures as labels. Received: 12 and 5"),
        (X, Y, ["a", "b"], "from 0 to 1 .*Received: labels of shape .* from 0 to 2"),
        (X, Y - 1, None, "from -1 to 1"),
        (X, ["a"] * 12, ["b", "c"], r"Received also: \['a'\]"),
        (X, np.full(12, np.nan), None, "finite labels"),
        (X.astype("int16") - 300, Y, None, "pixels from 0 to 255"),
        (np.full(X.shape, np.nan), Y, None, "pixels from 0 to 255"),
        (X[..., :2], Y, None, "Received: x with shape"),
        (X[:0], Y[:0], None, "Received: x with shape"),
        (X, np.eye(3)[Y], ["a", "b"], "Expected 3 class names"),
    ],
)
def test_what_does_not_fit_is_refused(x, y, names, message):
    with pytest.raises(ValueError, match=message):
        kx.arrays(x, y, class_names=names)


def test_pixels_divided_by_255_give_a_warning():
    with pytest.warns(UserWarning, match="divided by 255"):
        kx.arrays(X / 255.0, Y, validation_split=0.25)


def test_pictures_that_were_resized_before_may_overshoot_by_a_rounding():
    x = np.full([4, 8, 8, 3], np.nextafter(np.float32(255), np.float32(256)))
    assert kx.arrays(x, [0, 1, 0, 1], validation_split=0.5).class_names == ["0", "1"]
