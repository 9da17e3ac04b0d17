import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

PICTURES = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32")


@pytest.mark.parametrize("strength", ["none", "light", "standard", "strong"])
def test_nothing_changes_outside_training(strength):
    result = kx.augmentation(strength, (16, 16), seed=0)(PICTURES, training=False)
    np.testing.assert_array_equal(result, PICTURES)


@pytest.mark.parametrize("strength", ["light", "standard", "strong"])
def test_training_pictures_change_and_stay_in_range(strength):
    augment = kx.augmentation(strength, (16, 16), seed=0)
    first, second = (augment(PICTURES, training=True).numpy() for _ in range(2))
    assert not np.array_equal(first, PICTURES)
    assert not np.array_equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 255


@pytest.mark.parametrize("strength", ["standard", "strong"])
def test_same_seed_gives_the_same_changes(strength):
    one, other = (kx.augmentation(strength, (16, 16), seed=1) for _ in range(2))
    np.testing.assert_array_equal(one(PICTURES, training=True), other(PICTURES, training=True))


def test_changes_are_independent_of_each_other():
    """With one seed for all, each picture that is flipped would be zoomed in alike."""
    batch = np.repeat(PICTURES[:1], 500, axis=0)
    layers = kx.augmentation("standard", (16, 16), seed=0).layers
    values = [np.asarray(layer(batch, training=True))[:, 3, 4, 0] for layer in layers]
    np.testing.assert_allclose(np.corrcoef(values), np.eye(6), atol=0.2)


def test_contrast_falls_as_well_as_rises():
    contrast = kx.augmentation("standard", (16, 16), seed=0).get_layer("contrast")
    deviations = [np.std(contrast(PICTURES[:1], training=True)) for _ in range(50)]
    assert min(deviations) < 0.9 * PICTURES[0].std() < 1.1 * PICTURES[0].std() < max(deviations)


def test_light_is_white_where_the_picture_moved_away():
    white = np.full([8, 16, 16, 3], 255.0, "float32")
    result = kx.augmentation("light", (16, 16), seed=0)(white, training=True)
    np.testing.assert_allclose(result, 255.0, atol=1e-3)


def test_unknown_strength_is_refused():
    with pytest.raises(ValueError, match="Received: 'wild'"):
        kx.augmentation("wild", (16, 16))


def test_strong_wipes_out_no_picture_and_works_in_pipelines():
    pictures = next(iter(kx.emoji_styles("noto", image_size=(32, 32), batch_size=24).train))[0]
    augment = kx.augmentation("strong", (32, 32), seed=0)
    dataset = tf.data.Dataset.from_tensors(pictures).repeat(4)
    changed = np.concatenate(list(dataset.map(lambda x: augment(x, training=True))))
    again = kx.augmentation("strong", (32, 32), seed=0)
    same = np.concatenate(list(dataset.map(lambda x: again(x, training=True))))
    np.testing.assert_array_equal(changed, same)
    assert changed.dtype == np.float32
    assert changed.shape == (4 * 24, 32, 32, 3)
    # Keras's RandAugment leaves some pictures all of one color, and inverts most.
    before = np.tile(pictures, (4, 1, 1, 1))
    assert changed.std(axis=(1, 2, 3)).min() > 0.2 * before.std(axis=(1, 2, 3)).min()
    white = before[:, 0, 0].min(axis=-1) > 250
    assert np.median(changed[white][:, :, :2].mean(axis=(1, 2, 3))) > 200


def test_a_quarter_of_strong_pictures_has_an_erased_rectangle():
    erasing = kx.augmentation("strong", (16, 16), seed=0).get_layer("erasing")
    black = np.zeros([2000, 16, 16, 3], "float32")
    erased = np.asarray(erasing(black, training=True)) == (124, 116, 104)
    assert erased.any(axis=(1, 2, 3)).mean() == pytest.approx(0.25, abs=0.03)
    assert erased.mean(axis=(1, 2, 3)).max() < 0.3


def test_strong_augmentation_survives_saving(tmp_path):
    augment = kx.augmentation("strong", (16, 16), seed=1)
    augment.save(tmp_path / "augmentation.keras")
    loaded = keras.saving.load_model(tmp_path / "augmentation.keras")
    np.testing.assert_array_equal(loaded(PICTURES, training=True), augment(PICTURES, training=True))


def test_strong_pictures_need_a_size():
    with pytest.raises(ValueError, match=r"kx.multi_scale.*\(None, None\)"):
        kx.augmentation("strong", (None, None))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("strength", ["none", "light", "standard", "strong"])
def test_pictures_keep_their_precision_under_any_policy(strength, policy):
    pictures = np.random.default_rng(0).integers(0, 256, [4, 16, 16, 3]).astype("float32")
    expected = kx.augmentation(strength, (16, 16), seed=3)(pictures, training=True)
    keras.config.set_dtype_policy(policy)
    found = kx.augmentation(strength, (16, 16), seed=3)(pictures, training=True)
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found, expected)
