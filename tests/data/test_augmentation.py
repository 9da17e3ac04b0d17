import numpy as np
import pytest

import keras_transfer as kx

PICTURES = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32")


@pytest.mark.parametrize("strength", ["none", "light", "standard"])
def test_nothing_changes_outside_training(strength):
    result = kx.augmentation(strength, (16, 16), seed=0)(PICTURES, training=False)
    np.testing.assert_array_equal(result, PICTURES)


@pytest.mark.parametrize("strength", ["light", "standard"])
def test_training_pictures_change_and_stay_in_range(strength):
    augment = kx.augmentation(strength, (16, 16), seed=0)
    first, second = (augment(PICTURES, training=True).numpy() for _ in range(2))
    assert not np.array_equal(first, PICTURES)
    assert not np.array_equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 255


def test_same_seed_gives_the_same_changes():
    one, other = (kx.augmentation("standard", (16, 16), seed=1) for _ in range(2))
    np.testing.assert_array_equal(one(PICTURES, training=True), other(PICTURES, training=True))


def test_light_is_white_where_the_picture_moved_away():
    white = np.full([8, 16, 16, 3], 255.0, "float32")
    result = kx.augmentation("light", (16, 16), seed=0)(white, training=True)
    np.testing.assert_allclose(result, 255.0, atol=1e-3)


def test_unknown_strength_is_refused():
    with pytest.raises(ValueError, match="Received: 'wild'"):
        kx.augmentation("wild", (16, 16))
