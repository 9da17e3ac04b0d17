import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_transfer.data.resizing import resize_picture


@pytest.fixture
def wide():
    """Left half red, right half blue, 40 by 80."""
    picture = np.zeros([40, 80, 3], np.uint8)
    picture[:, :40, 0] = picture[:, 40:, 2] = 200
    return picture


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (33, 17), (17, 33), (64, 48)])
@pytest.mark.parametrize("size", [(48, 64), (31, 31)])
def test_every_shape_comes_out_at_the_size(resize, shape, size):
    result = resize_picture(tf.fill([*shape, 3], 77), size, resize)
    assert result.shape == (*size, 3)
    assert result.dtype == tf.float32
    inside = result.numpy()[(result.numpy() < 254).any(-1)]
    assert len(inside)
    np.testing.assert_allclose(inside, 77, atol=1e-3)


def test_stretch_keeps_both_halves(wide):
    result = resize_picture(wide, (20, 20), "stretch").numpy()
    np.testing.assert_allclose(result[10, 2], [200, 0, 0], atol=1e-3)
    np.testing.assert_allclose(result[10, 17], [0, 0, 200], atol=1e-3)


def test_crop_takes_the_center_in_proportion(wide):
    wide[:, :20] = wide[:, 60:] = 255
    result = resize_picture(wide, (40, 40), "crop").numpy()
    np.testing.assert_allclose(result, wide[:, 20:60], atol=1e-3)


def test_pad_keeps_all_on_white(wide):
    result = resize_picture(wide, (80, 80), "pad").numpy()
    np.testing.assert_allclose(result[20:60], wide, atol=1e-3)
    np.testing.assert_array_equal(result[:20], 255)
    np.testing.assert_array_equal(result[60:], 255)


def test_downsizing_is_antialiased_as_in_pillow():
    noise = np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    expected = np.array(Image.fromarray(noise).resize((32, 24), Image.Resampling.BILINEAR))
    result = resize_picture(noise, (24, 32), "stretch").numpy()
    assert np.abs(result - expected).max() <= 1.0


def test_picture_of_the_right_size_is_unchanged(wide):
    for resize in ("stretch", "crop", "pad"):
        np.testing.assert_allclose(resize_picture(wide, (40, 80), resize), wide, atol=1e-4)


def test_unknown_way_is_refused(wide):
    with pytest.raises(ValueError, match="Received: resize='squash'"):
        resize_picture(wide, (8, 8), "squash")
