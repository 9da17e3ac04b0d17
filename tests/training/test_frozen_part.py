"""Training on features ends where training on pictures does."""

from __future__ import annotations

import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.caching import filling, rows
from keras_transfer.models.exactness import NotExactError
from keras_transfer.training.frozen_part import _check_order

QUIET = {"verbose": 0}


def weights_after(make_model, data, cache, **options):
    keras.utils.set_random_seed(0)
    model = make_model()
    kx.fine_tune(model, *data(), cache=cache, **{**QUIET, **options})
    return model.get_weights()


def assert_same_weights(make_model, data, tmp_path, **options):
    """With and without a cache, and once more from the cache."""
    expected = weights_after(make_model, data, None, **options)
    for _ in range(2):
        found = weights_after(make_model, data, kx.FeatureCache(tmp_path), **options)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    assert kx.FeatureCache(tmp_path).entries()


def noise_data():
    """The same datasets anew, as each counts its epochs."""
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    pictures = random.integers(0, 128, (40, 32, 32, 3)) + 127 * labels[:, None, None, None]
    data = kx.arrays(pictures.astype("uint8"), labels, batch_size=8)
    return data.train, data.validation


def users_data():
    return tuple(part.map(lambda x, y: (x / 2, y)) for part in noise_data())


@pytest.fixture
def classifier(tiny_backbone):
    def make(**options):
        backbone = keras.models.clone_model(tiny_backbone)
        backbone.set_weights(tiny_backbone.get_weights())
        return kx.Classifier(backbone, 2, **options)

    return make


@pytest.mark.parametrize(
    ("strategy", "source"),
    [
        (kx.FeatureExtraction(), noise_data),
        pytest.param(kx.FineTuning(1), users_data, marks=pytest.mark.slow),
        pytest.param(kx.GradualUnfreezing(3), noise_data, marks=pytest.mark.slow),
        pytest.param(
            kx.Sequence([kx.Part(kx.FeatureExtraction(), batch_size=16), kx.FineTuning(1)]),
            users_data,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["features", "users", "stages", "batches"],
)
def test_weights_end_the_same_on_a_convolutional_network(classifier, tmp_path, strategy, source):
    assert_same_weights(
        lambda: classifier(dropout=0.3, standardize=True, depths=2),
        source,
        tmp_path,
        strategy=strategy,
        epochs=3,
        class_weight={0: 1.0, 1: 3.0},
        layer_decay=0.7,
    )


def test_histories_are_the_same_stage_by_stage(classifier, tmp_path):
    def run(cache):
        keras.utils.set_random_seed(0)
        options = {"strategy": kx.GradualUnfreezing(3), "epochs": 6, "cache": cache}
        return kx.fine_tune(classifier(dropout=0.5), *noise_data(), **options, **QUIET)

    for one, other in zip(run(None), run(kx.FeatureCache(tmp_path)), strict=True):
        assert set(one.history) == set(other.history)
        for name, values in one.history.items():
            np.testing.assert_allclose(values, other.history[name], atol=1e-5)


def test_weights_end_the_same_where_features_stay_on_the_disk(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "IN_MEMORY", 0)
    monkeypatch.setattr(filling, "SHARD_BYTES", 50_000)
    assert_same_weights(classifier, noise_data, tmp_path, strategy=kx.FineTuning(1), epochs=3)
    assert len(list(tmp_path.glob("*/[!.]*.features"))) > 2


def small_transformer():
    """Token ids to two classes: embedding, two blocks of attention, a head."""
    tokens = keras.Input((12,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(50, 8, name="embedding")(tokens)
    for number in range(2):
        attended = keras.layers.MultiHeadAttention(2, 4, name=f"attention_{number}")(x, x)
        x = keras.layers.LayerNormalization(name=f"norm_{number}")(x + attended)
        hidden = keras.layers.Dense(16, "gelu", name=f"hidden_{number}")(x)
        x = x + keras.layers.Dense(8, name=f"out_{number}")(hidden)
    backbone = keras.Model(tokens, x, name="transformer")
    pooled = keras.layers.GlobalAveragePooling1D()(backbone(tokens))
    logits = keras.layers.Dense(2, name="logits", kernel_initializer="zeros")(
        keras.layers.Dropout(0.2)(pooled)
    )
    return keras.Model(tokens, logits)


def sentences():
    tokens = np.random.default_rng(0).integers(0, 50, (40, 12), dtype="int32")
    pairs = tf.data.Dataset.from_tensor_slices((tokens, (tokens[:, 0] > 25).astype("int32")))
    return pairs.take(30).shuffle(30, seed=1).batch(8), pairs.skip(30).batch(8)


@pytest.mark.parametrize("first", ["logits", pytest.param("attention_1", marks=pytest.mark.slow)])
def test_weights_end_the_same_on_a_small_transformer(tmp_path, first):
    class From(kx.Strategy):
        """All layers from one on."""

        default_learning_rate = 1e-2

        def apply(self, model, stage=0):
            layers = [*model.get_layer("transformer").layers, *model.layers]
            names = [layer.name for layer in layers]
            for layer, name in zip(layers, names, strict=True):
                if name != "transformer":
                    layer.trainable = names.index(name) >= names.index(first)

        def get_config(self):
            return {}

    assert_same_weights(small_transformer, sentences, tmp_path, strategy=From(), epochs=3)


def test_it_says_in_one_line_what_it_did(classifier, tmp_path, capsys):
    said = []
    for _ in range(2):
        kx.fine_tune(
            classifier(),
            *noise_data(),
            strategy=kx.GradualUnfreezing(3),
            epochs=3,
            cache=kx.FeatureCache(tmp_path),
            verbose=2,
        )
        said.append([x for x in capsys.readouterr().out.splitlines() if "frozen part" in x])
    assert re.fullmatch(r"The frozen part ran once on 40 examples \(246 kB of .*\).", said[0][0])
    assert re.fullmatch(r"The frozen part need not run: features of 40 .*", said[1][0])
    assert [len(lines) for lines in said] == [2, 2]  # the last stage has no frozen part


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"augmentation": keras.Sequential([keras.layers.RandomFlip()])}, "augmented anew"),
        ({"mixing": keras.layers.MixUp()}, "mixed anew"),
        ({"strategy": kx.NormalizationTuning()}, "statistics of BatchNorm"),
        ({"cache": "too small"}, "bound to 100 bytes"),
    ],
    ids=["augmentation", "mixing", "batch_norm", "size"],
)
def test_where_it_does_not_apply_it_says_why(classifier, tmp_path, capsys, options, reason):
    if "cache" in options:
        options = {"cache": kx.FeatureCache(tmp_path, max_gigabytes=1e-7)}
    kx.fine_tune(classifier(), *noise_data(), epochs=1, **{**options, "verbose": 2})
    assert reason in capsys.readouterr().out


def test_models_that_train_in_a_way_of_their_own_are_left_to_it(classifier, capsys):
    class Own(keras.Model):
        def compute_loss(self, *args, **kwargs):
            return 2 * super().compute_loss(*args, **kwargs)

    model = classifier()
    own = Own(model.input, model.output)
    kx.fine_tune(own, *noise_data(), epochs=1, verbose=2)
    assert "a Own may train in a way of its own" in capsys.readouterr().out


def test_callbacks_see_the_whole_model(classifier, tmp_path):
    seen = []

    class Watching(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((self.model, float(self.model.optimizer.learning_rate)))

    model = classifier()
    [history] = kx.fine_tune(
        model,
        *noise_data(),
        epochs=2,
        cache=kx.FeatureCache(tmp_path),
        callbacks=[Watching(), keras.callbacks.ModelCheckpoint(tmp_path / "best.keras")],
        **QUIET,
    )
    assert [m for m, _ in seen] == [model, model]
    assert seen[0][1] > seen[1][1]
    saved = keras.models.load_model(tmp_path / "best.keras")
    np.testing.assert_array_equal(saved.get_weights()[-2], model.get_weights()[-2])
    assert len(history.history["val_loss"]) == 2


@pytest.mark.parametrize("when", ["on_epoch_end", "on_train_batch_end"])
def test_a_callback_ends_training(classifier, tmp_path, when):
    batches = []

    class Ending(keras.callbacks.Callback):
        pass

    def end(self, number, logs=None):
        batches.append(number)
        self.model.stop_training = True

    setattr(Ending, when, end)
    cache = kx.FeatureCache(tmp_path)
    [history] = kx.fine_tune(
        classifier(), *noise_data(), epochs=5, cache=cache, callbacks=[Ending()], **QUIET
    )
    assert batches == [0]
    assert len(history.epoch) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"early_stopping": 1, "learning_rate": 3.0},
        *(
            pytest.param(further, marks=pytest.mark.slow)
            for further in (
                {
                    "callbacks": [keras.callbacks.ReduceLROnPlateau(patience=1)],
                    "schedule": "constant",
                },
                {"regularizer": kx.L2SP(0.1, 0.1)},
                {"optimizer": keras.optimizers.SGD(0.1, 0.9, use_ema=True, ema_momentum=0.5)},
                {"label_smoothing": 0.2},
            )
        ),
    ],
    ids=["early_stopping", "callback", "regularizer", "average", "smoothing"],
)
def test_other_settings_give_the_same_weights(classifier, tmp_path, options):
    assert_same_weights(classifier, noise_data, tmp_path, epochs=4, **options)


def test_a_model_compiled_by_its_user_gives_the_same_weights(classifier, tmp_path):
    def make():
        model = classifier()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=[keras.metrics.SparseTopKCategoricalAccuracy(1)])
        return model

    assert_same_weights(make, noise_data, tmp_path, epochs=3)


def test_training_goes_on_from_checkpoints_with_and_without_a_cache(classifier, tmp_path):
    class KilledError(Exception):
        pass

    def kill(epoch, logs):
        if epoch == 1:
            raise KilledError

    options = {"strategy": kx.GradualUnfreezing([["third_add"], ["second"]]), "epochs": 6}
    killing = keras.callbacks.LambdaCallback(on_epoch_begin=kill)
    expected = None
    for first, second in ((None, None), ("cache", "cache"), ("cache", None)):
        caches = [kx.FeatureCache(tmp_path / "cache") if c else None for c in (first, second)]
        keeping = {"checkpoints": tmp_path / f"{first}-{second}", **options}
        with pytest.raises(KilledError):
            weights_after(classifier, noise_data, caches[0], callbacks=[killing], **keeping)
        found = weights_after(classifier, noise_data, caches[1], **keeping)
        expected = found if expected is None else expected
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_folder_that_cannot_be_written_costs_one_warning(classifier, tmp_path):
    (tmp_path / "file").write_text("no folder")
    cache = kx.FeatureCache(tmp_path / "file")
    options = {"strategy": kx.GradualUnfreezing(2), "epochs": 4}
    expected = weights_after(classifier, noise_data, None, **options)
    with pytest.warns(UserWarning, match="goes on without the feature cache") as caught:
        found = weights_after(classifier, noise_data, cache, **options)
    [warning] = [w for w in caught if "feature cache" in str(w.message)]
    assert warning.filename == __file__
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_disk_that_fills_up_costs_one_warning(classifier, tmp_path, monkeypatch):
    def full(self, digests, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_transfer.caching.shards.ShardWriter.add", full)
    with pytest.warns(UserWarning, match="No space left on device") as caught:
        kx.fine_tune(
            classifier(), *noise_data(), epochs=1, cache=kx.FeatureCache(tmp_path), **QUIET
        )
    assert len([w for w in caught if "feature cache" in str(w.message)]) == 1
    assert not list(tmp_path.glob("*/.staging*"))


def test_features_of_weights_that_have_been_trained_are_removed(classifier, tmp_path):
    """No other training has these weights."""
    strategy = kx.Sequence(
        [kx.FineTuning(["first", "second", "third_add"]), kx.FeatureExtraction()]
    )
    model = classifier()
    cache = kx.FeatureCache(tmp_path)
    kx.fine_tune(model, *noise_data(), strategy=strategy, epochs=2, cache=cache, **QUIET)
    assert cache.entries() == []


@pytest.mark.slow
def test_two_replicas_train_on_features(tmp_path):
    code = f"""
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
x = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3)).astype("uint8")
def run(cache):
    keras.utils.set_random_seed(1)
    data = kx.arrays(x, np.arange(40) % 2, batch_size=8)
    with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope():
        layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Conv2D(4, 3)]
        backbone = keras.Sequential([keras.Input([8, 8, 3]), *layers], name="net")
        model = kx.Classifier(backbone, 2)
    kx.fine_tune(model, data.train, data.validation, epochs=3, cache=cache, verbose=0)
    return np.concatenate([w.ravel() for w in model.get_weights()])
cache = kx.FeatureCache({str(tmp_path)!r})
print(np.abs(run(None) - run(cache)).max(), len(cache.entries()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    difference, entries = done.stdout.split()[-2:]
    assert float(difference) < 1e-5
    assert int(entries) == 1


def test_half_precision_trains_on_features(classifier, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = classifier()
    cache = kx.FeatureCache(tmp_path)
    kx.fine_tune(model, *noise_data(), epochs=2, cache=cache, **QUIET)
    [entry] = cache.entries()
    assert entry.shapes == ["float16 (6,)"]


@pytest.mark.parametrize("cache", [True, "folder", 3])
def test_another_cache_is_refused(classifier, cache):
    with pytest.raises(TypeError, match="Expected `cache`"):
        kx.fine_tune(classifier(), *noise_data(), epochs=1, cache=cache, **QUIET)


def test_views_are_trained_on(classifier, tmp_path, capsys):
    augment = kx.augmentation("light", (32, 32), seed=0)
    cache = kx.FeatureCache(tmp_path, views=2)
    options = {"epochs": 2, "augmentation": augment, "cache": cache, "verbose": 2}
    kx.fine_tune(classifier(), *noise_data(), **options)
    assert "ran once on 72 views of pictures" in capsys.readouterr().out


@pytest.mark.slow
def test_several_stages_repeat_with_augmentation(classifier):
    """Iterators that read ahead of an epoch's end would move shuffles and random states on."""

    def run():
        augment = kx.augmentation("light", (32, 32), seed=0)
        options = {"strategy": kx.GradualUnfreezing(2), "epochs": 4, "augmentation": augment}
        return weights_after(classifier, noise_data, None, **options)

    expected = run()
    for _ in range(2):
        for one, other in zip(expected, run(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_backup_and_restore_goes_on_where_it_was(classifier, tmp_path):
    class KilledError(Exception):
        pass

    epochs = []

    def kill(epoch, logs):
        epochs.append(epoch)
        if len(epochs) == 4:
            raise KilledError

    def run():
        callbacks = [
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
            keras.callbacks.LambdaCallback(on_epoch_begin=kill),
        ]
        cache = kx.FeatureCache(tmp_path / "cache")
        kx.fine_tune(
            classifier(), *noise_data(), epochs=5, cache=cache, callbacks=callbacks, **QUIET
        )

    with pytest.raises(KilledError):
        run()
    run()
    assert epochs == [0, 1, 2, 3, 3, 4]


def test_validation_arrays_are_taken_as_keras_takes_them(classifier, capsys):
    train, validation = noise_data()
    batches = [(x.numpy(), y.numpy()) for x, y in validation]
    arrays = tuple(np.concatenate(column) for column in zip(*batches, strict=True))
    [history] = kx.fine_tune(classifier(), train, arrays, epochs=1, verbose=2)
    assert "val_loss" in history.history
    assert "tf.data.Dataset of batches" in capsys.readouterr().out


def test_outputs_that_would_lose_their_names_are_left_alone(tiny_backbone, capsys):
    kx.FineTuning(1).apply(kx.Classifier(tiny_backbone, 2))
    pixels = keras.Input((32, 32, 3))
    inner = keras.layers.GlobalAveragePooling2D()(tiny_backbone.output)
    body = keras.Model(tiny_backbone.input, keras.layers.Dense(2)(inner), name="body")
    beside = keras.layers.Dense(2, name="beside")(keras.layers.Flatten()(pixels))
    model = keras.Model(pixels, [body(pixels), beside])
    with pytest.raises(NotExactError, match="other names"):
        _check_order(model, kx.split_frozen(model)[1])
