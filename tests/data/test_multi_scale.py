import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

X = np.random.default_rng(0).uniform(0, 255, (40, 24, 24, 3)).astype("float32")
DATA = tf.data.Dataset.from_tensor_slices((X, np.arange(40) % 2)).batch(2)


def test_each_batch_has_one_of_the_sizes():
    dataset = kx.multi_scale(DATA, [12, (16, 8), 24], seed=0)
    epochs = [[tuple(x.shape[1:3]) for x, _ in dataset] for _ in range(2)]
    assert set(epochs[0]) == {(12, 12), (16, 8), (24, 24)}
    assert epochs[0] != epochs[1]
    again = kx.multi_scale(DATA, [12, (16, 8), 24], seed=0)
    assert [[tuple(x.shape[1:3]) for x, _ in again] for _ in range(2)] == epochs
    assert int(dataset.cardinality()) == 20


def test_smaller_pictures_are_averaged_and_labels_and_weights_kept():
    weighted = DATA.map(lambda x, y: (x, y, tf.cast(y, tf.float32) + 1))
    pictures, labels, weights = next(iter(kx.multi_scale(weighted, [1])))
    # An antialiased bilinear resize to one pixel weighs pixels by a triangle over the picture.
    triangle = 1 - np.abs((np.arange(24) + 0.5) / 24 - 0.5)
    share = np.outer(triangle, triangle) / triangle.sum() ** 2
    expected = np.einsum("nhwc,hw->nc", X[:2].astype("float64"), share)
    np.testing.assert_allclose(pictures[:, 0, 0], expected, rtol=1e-4)
    np.testing.assert_array_equal(labels, [0, 1])
    np.testing.assert_array_equal(weights, [1, 2])


def test_a_model_of_any_size_is_fine_tuned_on_several():
    x = np.random.default_rng(0).integers(0, 255, (12, 24, 24, 3)).astype("uint8")
    data = kx.arrays(x, [0, 1] * 6, batch_size=2, validation_split=0.0, resize="crop")
    backbone = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)])
    model = kx.Classifier(backbone, data.class_names)
    train = kx.multi_scale(data.train, [16, 24], seed=0)
    augment = kx.augmentation("light", (None, None), seed=0)
    [history] = kx.fine_tune(model, train, epochs=1, augmentation=augment, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.resize == "crop"


def test_pretrained_backbones_take_any_size():
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(None, None, 3))
    model = kx.Classifier(backbone, 2)
    fixed = kx.load_backbone("efficientnet_lite0", input_shape=(40, 72, 3))
    pictures = X[:1, :20, :18].repeat(2, axis=1).repeat(4, axis=2)
    np.testing.assert_array_equal(backbone(pictures), fixed(pictures))
    assert model(pictures[:, :32, :32]).shape == (1, 2)


@pytest.mark.parametrize("sizes", [[], [0], [(16, 16, 3)], [16, -1]])
def test_sizes_out_of_range_are_refused(sizes):
    with pytest.raises(ValueError, match="Expected `sizes`"):
        kx.multi_scale(DATA, sizes)


def test_datasets_without_batches_of_pictures_are_refused():
    for dataset in (DATA.unbatch(), DATA.map(lambda x, y: x)):
        with pytest.raises(ValueError, match="Expected a dataset of batches"):
            kx.multi_scale(dataset, [16])
