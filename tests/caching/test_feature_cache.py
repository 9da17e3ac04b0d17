"""Features by content: the right ones, from disk or computed."""

from __future__ import annotations

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.caching import filling, rows
from keras_transfer.caching.store import CacheTooSmallError


@pytest.fixture
def frozen_part(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2, depths=2)
    kx.FineTuning(1).apply(model)
    frozen_part, _ = kx.split_frozen(model)
    assert len(frozen_part.outputs) == 2
    return frozen_part


@pytest.fixture(params=["in memory", "on disk"])
def reading(request, monkeypatch):
    """Both ways to read, the second from many shards."""
    if request.param == "on disk":
        monkeypatch.setattr(rows, "IN_MEMORY", 0)
        monkeypatch.setattr(filling, "SHARD_BYTES", 60_000)


def data_of(x, y=None, **options):
    y = np.arange(len(x)) % 2 if y is None else y
    return kx.arrays(x, y, batch_size=4, validation_split=0.0, **options).train


def noise(count=10, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (count, 32, 32, 3), dtype="uint8")


def found(cache, frozen_part, data, **options):
    return cache.open(frozen_part, verbose=False).find(data, **options)


def assert_right(features, frozen_part, x, y):
    """Each batch holds what the frozen part gives for the pictures with these labels."""
    seen = []
    for parts, labels in features:
        expected = frozen_part(x[labels].astype("float32"), training=False)
        for one, other in zip(parts, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)
        seen += labels.numpy().tolist()
    assert sorted(seen) == sorted(y)


@pytest.mark.parametrize("changed", [False, True], ids=["ours", "users"])
def test_features_are_those_of_their_pictures(tmp_path, frozen_part, reading, changed):
    x = noise()
    data = data_of(x, np.arange(10))
    data = data.map(lambda pictures, label: (pictures, label)) if changed else data
    cache = kx.FeatureCache(tmp_path)
    for computed in (10, 0):
        features = found(cache, frozen_part, data)
        assert (features.rows, features.computed) == (10, computed)
        for _ in range(2):  # epochs
            assert_right(features.dataset(), frozen_part, x, range(10))


def test_one_changed_pixel_is_computed_and_nothing_else(tmp_path, frozen_part):
    x = noise()
    cache = kx.FeatureCache(tmp_path)
    found(cache, frozen_part, data_of(x, np.arange(10)))
    x[3, 5, 5, 1] ^= 1
    features = found(cache, frozen_part, data_of(x, np.arange(10)))
    assert features.computed == 1
    assert_right(features.dataset(), frozen_part, x, range(10))


def test_labels_and_seeds_change_nothing_sizes_all(tmp_path, frozen_part):
    x, cache = noise(), kx.FeatureCache(tmp_path)
    found(cache, frozen_part, data_of(x))
    other = found(cache, frozen_part, data_of(x, 1 - np.arange(10) % 2, seed=3))
    assert other.computed == 0
    assert {int(label) for _, labels in other.dataset() for label in labels} == {0, 1}
    small = x[:, :20, :30]
    for resize, computed in (("stretch", 10), ("crop", 10), ("stretch", 0)):
        data = data_of(small, image_size=(32, 32), resize=resize)
        assert found(cache, frozen_part, data).computed == computed


def test_other_weights_have_other_features(tmp_path, frozen_part):
    x, cache = noise(), kx.FeatureCache(tmp_path)
    found(cache, frozen_part, data_of(x))
    kernel = frozen_part.get_layer("first").kernel
    before = kernel.numpy()
    kernel.assign(before * 1.01)
    features = found(cache, frozen_part, data_of(x, np.arange(10)))
    assert features.computed == 10
    assert_right(features.dataset(), frozen_part, x, range(10))
    kernel.assign(before)
    assert found(cache, frozen_part, data_of(x)).computed == 0


def test_other_versions_and_dtypes_have_other_features(tmp_path, frozen_part, monkeypatch):
    x = noise()
    found(kx.FeatureCache(tmp_path), frozen_part, data_of(x))
    assert found(kx.FeatureCache(tmp_path, dtype="bfloat16"), frozen_part, data_of(x)).computed
    monkeypatch.setattr("keras_transfer.caching.frozen_features.__version__", "999")
    assert found(kx.FeatureCache(tmp_path), frozen_part, data_of(x)).computed == 10


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_shard_is_computed_again(tmp_path, frozen_part, reading, damage):
    x, cache = noise(), kx.FeatureCache(tmp_path)
    found(cache, frozen_part, data_of(x)).close()
    path = min(tmp_path.glob("*/[!.]*.features"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes({"flip": data, "cut": data[:-9], "empty": b""}[damage])
    features = found(cache, frozen_part, data_of(x, np.arange(10)))
    assert 0 < features.computed <= 10
    assert_right(features.dataset(), frozen_part, x, range(10))
    assert found(cache, frozen_part, data_of(x)).computed == 0


def test_only_new_examples_are_computed(tmp_path, frozen_part):
    x, cache = noise(20), kx.FeatureCache(tmp_path)
    assert found(cache, frozen_part, data_of(x[:12])).computed == 12
    assert found(cache, frozen_part, data_of(x)).computed == 8
    assert found(cache, frozen_part, data_of(x[5:15])).computed == 0


def test_examples_that_come_several_times_are_computed_once(tmp_path, frozen_part):
    x = noise()
    data = data_of(x, np.arange(10)).repeat(2)
    features = found(kx.FeatureCache(tmp_path), frozen_part, data)
    assert features.rows == 10
    assert_right(features.dataset(), frozen_part, x, [*range(10)] * 2)


def test_views_are_augmented_and_come_in_turn(tmp_path, frozen_part, reading):
    x = noise(6)
    augment = kx.augmentation("light", (32, 32), seed=5)
    cache = kx.FeatureCache(tmp_path, views=3)
    features = found(cache, frozen_part, data_of(x, np.arange(6)), augmentation=augment)
    assert (features.rows, features.computed, features.views) == (18, 18, 3)
    dataset = features.dataset()
    seen = []
    orders = []
    for _ in range(6):  # epochs
        epoch = {}
        for (first, _), labels in dataset:
            epoch |= {int(y): row.tobytes() for row, y in zip(first.numpy(), labels, strict=True)}
        seen.append(epoch)
    for example in range(6):
        cycles = [[epoch[example] for epoch in seen[start : start + 3]] for start in (0, 3)]
        assert len(set(cycles[0])) == 3  # all views, each once
        assert set(cycles[0]) == set(cycles[1])
        orders.append(cycles[0] == cycles[1])
    assert not all(orders)  # in fresh order
    again = found(
        cache, frozen_part, data_of(x), augmentation=kx.augmentation("light", (32, 32), seed=5)
    )
    assert again.computed == 0
    other = kx.augmentation("light", (32, 32), seed=6)
    assert found(cache, frozen_part, data_of(x), augmentation=other).computed == 18
    fewer = kx.FeatureCache(tmp_path, views=2)
    assert found(fewer, frozen_part, data_of(x), augmentation=augment).computed == 0


def test_views_leave_the_augmentations_random_state_alone(tmp_path, frozen_part):
    augment = kx.augmentation("light", (32, 32), seed=5)
    before = [np.array(v) for v in augment.variables]
    found(kx.FeatureCache(tmp_path, views=2), frozen_part, data_of(noise(4)), augmentation=augment)
    for one, other in zip(before, augment.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_does_not_fit_is_told(tmp_path, frozen_part):
    cache = kx.FeatureCache(tmp_path, max_gigabytes=1e-5)
    with pytest.raises(CacheTooSmallError, match="bound to 10 kB"):
        cache.features(frozen_part, data_of(noise()), verbose=False)


def test_old_features_make_room_for_new_ones(tmp_path, frozen_part):
    cache = kx.FeatureCache(tmp_path, max_gigabytes=1.5e-4)
    for seed in range(3):
        found(cache, frozen_part, data_of(noise(seed=seed))).close()
    used = sum(path.stat().st_size for path in tmp_path.glob("*/[!.]*.features"))
    assert 0 < used <= 150_000
    assert found(cache, frozen_part, data_of(noise(seed=2))).computed == 0


def test_features_are_not_removed_under_a_reader(tmp_path, frozen_part, reading):
    x = noise()
    cache = kx.FeatureCache(tmp_path, max_gigabytes=1e-4)
    features = found(cache, frozen_part, data_of(x, np.arange(10)))
    with pytest.raises(CacheTooSmallError, match="in use"):
        found(cache, frozen_part, data_of(noise(seed=1)))
    assert_right(features.dataset(), frozen_part, x, range(10))
    features.close()
    assert found(cache, frozen_part, data_of(noise(seed=1))).computed == 10


def test_a_folder_that_cannot_be_written_still_gives_what_it_holds(
    tmp_path, frozen_part, monkeypatch
):
    x, cache = noise(), kx.FeatureCache(tmp_path)
    found(cache, frozen_part, data_of(x))

    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr("filelock.FileLock", refuse)
    monkeypatch.setattr("os.utime", refuse)
    assert found(cache, frozen_part, data_of(x)).computed == 0
    with pytest.raises(OSError, match="read-only"):
        found(cache, frozen_part, data_of(noise(seed=1)))


def test_by_hand_the_tail_trains_the_model(tmp_path, tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    kx.FeatureExtraction().apply(model)
    frozen_part, tail = kx.split_frozen(model)
    cache = kx.FeatureCache(tmp_path)
    tail.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    train = cache.features(frozen_part, tiny_data.train, verbose=False)
    tail.fit(train, epochs=2, shuffle=False, verbose=0)
    del train
    gc.collect()
    assert np.abs(model.get_layer("logits").kernel).max() > 0
    assert [entry.model for entry in cache.entries()] == ["tiny"]
    assert cache.entries()[0].shapes == ["float32 (6,)"]
    assert cache.remove(cache.entries()[0].name)
    assert cache.entries() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "dtype.*'int8'"),
        ({"views": 0}, "views=0"),
        ({"max_gigabytes": 0}, "max_gigabytes"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        kx.FeatureCache(tmp_path, **options)


def test_pictures_of_any_dtype_and_structure(tmp_path):
    one, other = keras.Input((3,), name="one"), keras.Input((3,), name="other")
    model = keras.Model({"one": one, "other": other}, keras.layers.Dense(2)(one + other))
    x = np.random.default_rng(0).normal(size=(10, 3)).astype("float32")
    pairs = tf.data.Dataset.from_tensor_slices(({"one": x, "other": 2 * x}, np.arange(10)))
    features = found(kx.FeatureCache(tmp_path), model, pairs.batch(4))
    for part, labels in features.dataset():
        chosen = x[labels]
        np.testing.assert_allclose(part, model({"one": chosen, "other": 2 * chosen}), atol=1e-5)
