"""`kx.fine_tune` of a `kx.DomainAdaptation`: stages, features of both domains, resuming."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

QUIET = {"verbose": 0}
TWO_STAGES = {"strategy": kx.GradualUnfreezing(2, batch_norm="trainable"), "epochs": 4}


class Constant(kx.Method):
    """A term that is 1."""

    def term(self, source, target):
        return tf.ones([])


def pictures(number, brightness, seed):
    random = np.random.default_rng(seed)
    labels = np.arange(number) % 2
    noise = random.integers(0, 100, (number, 32, 32, 3)) + 80 * labels[:, None, None, None]
    return (noise + brightness).astype("uint8"), labels


def domains(batch_size=8):
    """A dark source of 32 pictures to train on, a brighter target of 16; new ones each time."""
    return [
        kx.arrays(*pictures(*given), batch_size=batch_size, validation_split=0.2)
        for given in ((40, 0, 1), (20, 60, 2))
    ]


def pairs(target_labels="ignore"):
    source, target = domains()
    return kx.pair_domains(source.train, target.train, target_labels=target_labels)


def few_labels():
    """Weights of the source's examples, and labels of some of the target's."""
    source, target = domains()
    weighted = source.train.map(lambda x, y: (x, y, tf.cast(1 + y, tf.float32)))
    some = target.train.map(lambda x, y: (x, tf.where(tf.range(tf.size(y)) < 3, y, -1)))
    return kx.pair_domains(weighted, some, target_labels="train")


def unlabeled():
    source, target = domains()
    return kx.pair_domains(source.train, target.train.map(lambda x, y: x))


@pytest.fixture
def make(tiny_backbone):
    """Makes the same adapted model each time."""

    def make(method=None, *, depths=1, dropout=0.3, **options):
        backbone = keras.models.clone_model(tiny_backbone)
        backbone.set_weights(tiny_backbone.get_weights())
        model = kx.Classifier(backbone, 2, hidden=[4], dropout=dropout, depths=depths)
        method = kx.MaximumMeanDiscrepancy() if method is None else method()
        return kx.DomainAdaptation(model, method, **options)

    return make


def adversarial():
    return kx.DomainAdversarial(hidden=[6], dropout=0.4)


def trained(make, data, **options):
    """Weights and logs after training; the discriminator's and the source's statistics too."""
    keras.utils.set_random_seed(0)
    adapted = make()
    validation = domains()[1].validation
    histories = kx.fine_tune(adapted, data(), validation, **{**QUIET, **options})
    return adapted.get_weights(), [history.history for history in histories]


def assert_same(found, expected, **tolerance):
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(one, other, **tolerance)
    assert [set(logs) for logs in found[1]] == [set(logs) for logs in expected[1]]
    for one, other in zip(found[1], expected[1], strict=True):
        for name in one:
            np.testing.assert_allclose(one[name], other[name], **tolerance)


@pytest.mark.parametrize(
    ("given", "data", "options"),
    [
        ({}, pairs, {"strategy": kx.FeatureExtraction(), "epochs": 3}),
        pytest.param(
            {"method": adversarial},
            pairs,
            {**TWO_STAGES, "layer_decay": 0.5},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"normalization": "per_domain"},
            unlabeled,
            {"strategy": kx.FineTuning(1, batch_norm="trainable"), "epochs": 2},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"method": kx.ContrastiveSemanticAlignment, "layers": ["second"], "depths": 2},
            few_labels,
            {"strategy": kx.FeatureExtraction(), "epochs": 2, "label_smoothing": 0.1},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"normalization": "frozen"},
            pairs,
            {
                "strategy": kx.Sequence(
                    [kx.Part(kx.FeatureExtraction(), batch_size=4), kx.FineTuning(1)]
                ),
                "epochs": 2,
                "regularizer": kx.L2SP(0.1, 0.1),
            },
            marks=pytest.mark.slow,
        ),
    ],
    ids=["features", "adversarial", "per_domain", "few_labels", "batches"],
)
def test_weights_and_logs_are_the_same_with_a_cache(make, tmp_path, given, data, options):
    def run(cache):
        return trained(lambda: make(**given), data, cache=cache, **options)

    expected = run(None)
    for _ in range(2):
        assert_same(run(kx.FeatureCache(tmp_path)), expected, atol=2e-5, rtol=1e-4)
    assert kx.FeatureCache(tmp_path).entries()


def test_a_source_alone_has_the_same_features(make, tmp_path, capsys):
    adapted, (source, target) = make(), domains()
    cache = kx.FeatureCache(tmp_path)
    kx.fine_tune(make().model, source.train, epochs=1, cache=cache, **QUIET)
    both = kx.pair_domains(source.train, target.train, target_labels="ignore")
    kx.fine_tune(adapted, both, epochs=1, cache=cache, verbose=2)
    assert "ran once on 16 examples, 32 were cached" in capsys.readouterr().out
    assert len(cache.entries()) == 1


@pytest.mark.parametrize(
    "validation",
    [
        pytest.param(lambda source, target: source, marks=pytest.mark.slow),
        lambda source, target: kx.pair_domains(source, target.map(lambda x, y: x)),
    ],
    ids=["source", "pair"],
)
def test_validation_data_of_one_domain_or_both(make, tmp_path, validation):
    def run(cache):
        keras.utils.set_random_seed(0)
        data = validation(*(part.validation for part in domains()))
        [history] = kx.fine_tune(make(), pairs(), data, epochs=2, cache=cache, **QUIET)
        return history.history

    expected, found = run(None), run(kx.FeatureCache(tmp_path))
    assert {"val_loss", "val_accuracy"} <= set(found)
    for name, values in expected.items():
        np.testing.assert_allclose(values, found[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cache", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_schedule_goes_over_all_stages(make, tmp_path, cache):
    adapted = make(Constant, schedule=lambda progress: progress)
    histories = kx.fine_tune(
        adapted, pairs(), cache=kx.FeatureCache(tmp_path) if cache else None, **TWO_STAGES, **QUIET
    )
    found = [x for history in histories for x in history.history["adaptation_loss"]]
    # 4 epochs of 4 batches: each weighs as much as was done before it.
    expected = np.arange(16).reshape(4, 4).mean(1) / 16
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    adapted.fit(pairs(), epochs=1, shuffle=False, verbose=0)
    np.testing.assert_allclose(
        adapted.history.history["adaptation_loss"], [np.arange(4).mean() / 4], rtol=1e-6
    )


class KilledError(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Once an epoch is kept, of all stages."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def on_epoch_begin(self, epoch, logs=None):
        if not self.left:
            raise KilledError
        self.left -= 1


@pytest.mark.parametrize("after", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"method": adversarial}, id="method"),
        pytest.param({"normalization": "per_domain"}, id="source", marks=pytest.mark.slow),
    ],
)
def test_killed_training_ends_bit_for_bit_where_the_uninterrupted_does(
    make, tmp_path, after, given
):
    fixed = pairs().cache()  # in one order
    list(fixed)

    def run(folder, *callbacks):
        return trained(
            lambda: make(**given),
            lambda: fixed,
            cache=None,
            early_stopping=9,
            checkpoints=folder,
            callbacks=callbacks,
            **TWO_STAGES,
        )

    expected = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "killed", Kill(after))
    assert_same(run(tmp_path / "killed"), expected, rtol=0, atol=0)


def test_training_goes_on_from_checkpoints_on_features(make, tmp_path):
    options = {
        "strategy": kx.FeatureExtraction(),
        "epochs": 3,
        "cache": kx.FeatureCache(tmp_path / "cache"),
        "checkpoints": tmp_path / "kept",
    }
    with pytest.raises(KilledError):
        trained(lambda: make(adversarial), pairs, callbacks=[Kill(1)], **options)
    with pytest.raises(ValueError, match="checkpoints made with.*adaptation"):
        trained(lambda: make(adversarial, weight=2.0), pairs, **options)
    _, [logs] = trained(lambda: make(adversarial), pairs, **options)
    assert len(logs["adaptation_loss"]) == 3


def test_callbacks_see_the_whole(make, tmp_path):
    adapted, (source, target) = make(normalization="per_domain"), domains()
    seen = []

    class Watching(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model is adapted)
            assert self.model.predict(np.zeros([2, 32, 32, 3]), verbose=0).shape == (2, 2)

    every = kx.CollapseGuard(
        min_source_share=0.0, min_entropy_share=0.0, max_variance_ratio=float("inf")
    )
    score = kx.TargetScore(target.validation, source.validation, guard=every)
    [history] = kx.fine_tune(
        adapted,
        pairs(),
        epochs=2,
        cache=kx.FeatureCache(tmp_path),
        callbacks=[score, Watching()],
        **QUIET,
    )
    assert seen == [True, True]
    assert len(history.history["val_target_score"]) == 2


def test_the_head_s_rate_trains_the_method_which_nothing_pulls(make):
    adapted = make(adversarial)
    before = [weight.numpy() for weight in adapted.method.trainable_weights]
    kx.fine_tune(
        adapted,
        pairs(),
        epochs=1,
        learning_rate=1e-3,
        block_rates={"head": 1e-6},
        regularizer=kx.Proximal(head=50.0, backbone=50.0),
        strategy=kx.FineTuning(),
        cache=None,
        **QUIET,
    )
    after = [weight.numpy() for weight in adapted.method.trainable_weights]
    moved = max(np.abs(one - other).max() for one, other in zip(before, after, strict=True))
    # Four steps of at most the rate each.
    assert 0 < moved < 5e-9 + 1e-7


def test_frozen_normalization_stays_frozen(make):
    adapted = make(normalization="frozen")
    statistics = [layer.moving_mean.numpy() for layer in adapted._passes._layers]
    kx.fine_tune(
        adapted, pairs(), strategy=kx.FineTuning(batch_norm="trainable"), epochs=1, **QUIET
    )
    for layer, before in zip(adapted._passes._layers, statistics, strict=True):
        np.testing.assert_array_equal(layer.moving_mean, before)


@pytest.mark.parametrize("views", [None, 2])
def test_both_domains_are_augmented(make, tmp_path, capsys, views):
    seen = []

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            tf.py_function(lambda x: seen.append(len(x)), [inputs], [])
            return inputs

    augment = keras.Sequential([keras.Input([32, 32, 3]), Counting()])
    if views:
        augment = kx.augmentation("light", (32, 32), seed=0)
    cache = kx.FeatureCache(tmp_path, views=views)
    kx.fine_tune(make(), pairs(), epochs=2, augmentation=augment, cache=cache, verbose=2)
    said = capsys.readouterr().out
    if views:
        assert "ran once on 96 views" in said
    else:
        assert "augmented anew" in said
        assert len(seen) == 2 * 2 * 4


@pytest.mark.parametrize(
    ("given", "data", "reason"),
    [
        ({"method": kx.Reconstruction}, pairs, "Reconstruction looks at the inputs"),
        ({}, lambda: pairs().take(3), "pairs were changed"),
    ],
    ids=["inputs", "changed"],
)
def test_where_there_are_no_features_it_says_why(make, capsys, given, data, reason):
    kx.fine_tune(make(**given), data(), epochs=1, verbose=2)
    assert reason in capsys.readouterr().out


def test_statistics_loaded_before_training_are_those_of_both_domains(make, tmp_path, capsys):
    adapted = make(normalization="per_domain")
    adapted.model.set_weights([weight + 1 for weight in adapted.model.get_weights()])
    kx.fine_tune(adapted, pairs(), epochs=1, cache=kx.FeatureCache(tmp_path), verbose=2)
    assert "ran once" in capsys.readouterr().out
    with adapted.as_source():
        of_source = [layer.moving_mean.numpy() for layer in adapted._passes._layers]
    of_target = [layer.moving_mean.numpy() for layer in adapted._passes._layers]
    for one, other in zip(of_source, of_target, strict=True):
        np.testing.assert_array_equal(one, other)


def test_statistics_of_the_source_that_are_frozen_keep_from_features(make, tmp_path, capsys):
    adapted = make(normalization="per_domain")
    adapted.source_statistics[0].assign(adapted.source_statistics[0] + 1)
    adapted.source_has_trained.assign(True)
    kx.fine_tune(adapted, pairs(), epochs=1, cache=kx.FeatureCache(tmp_path), verbose=2)
    assert "other statistics of the source" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixing": keras.layers.MixUp()}, "Expected none of.*mixing"),
        ({"class_weight": "balanced"}, "weighed by datasets"),
        ({"solver": "lbfgs"}, "Expected none of.*solver"),
    ],
)
def test_what_makes_no_sense_for_pairs_is_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        kx.fine_tune(make(), pairs(), **options)


def test_pairs_and_adapted_models_belong_together(make):
    source, _ = domains()
    with pytest.raises(ValueError, match="trained on `kx.pair_domains"):
        kx.fine_tune(make(), source.train)
    with pytest.raises(ValueError, match="Expected a kx.DomainAdaptation"):
        kx.fine_tune(make().model, pairs())
    with pytest.raises(ValueError, match="Expected a kx.DomainAdaptation"):
        kx.fine_tune(make().model, source.train, pairs())
    with pytest.raises(ValueError, match="target_labels='train'"):
        kx.fine_tune(make(kx.ContrastiveSemanticAlignment), pairs())


def test_labels_out_of_range_are_refused(make):
    source, target = domains()
    wrong = target.train.map(lambda x, y: (x, y + 1))
    both = kx.pair_domains(source.train, wrong, target_labels="train")
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels from 0 to 1"):
        kx.fine_tune(make(), both, epochs=1, cache=None, **QUIET)


def test_both_models_are_ready_for_use(make, tmp_path):
    adapted, (source, target) = make(), domains()
    both = kx.pair_domains(source.train, target.train, target_labels="ignore")
    both.resize = source.train.resize
    kx.fine_tune(adapted, both, epochs=1, **QUIET)
    assert adapted.model.resize == source.train.resize
    of_model = adapted.model.evaluate(target.validation, verbose=0)
    np.testing.assert_allclose(adapted.evaluate(target.validation, verbose=0), of_model)
    adapted.model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.evaluate(target.validation, verbose=0), of_model)
    kx.evaluate(adapted.model, target.validation)
    assert kx.export(adapted.model, tmp_path / "served").name == "1"
    adapted.fit(both, shuffle=False, verbose=0)


def test_a_compiled_loss_is_kept(make, tmp_path):
    adapted = make()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adapted.compile("sgd", loss, metrics=[keras.metrics.SparseTopKCategoricalAccuracy(1, "top")])
    cache = kx.FeatureCache(tmp_path)
    [history] = kx.fine_tune(adapted, pairs(), epochs=1, cache=cache, **QUIET)
    assert adapted.loss is adapted.model.loss is loss
    assert "top" in history.history


@pytest.mark.slow
def test_words_train_the_same_with_a_cache(tmp_path):
    """Of any length, with a mask: source and target go through the whole model one by one."""

    def make():
        inputs = {
            name: keras.Input([None], dtype="int32", name=name)
            for name in ("token_ids", "padding_mask")
        }
        x = keras.layers.Embedding(20, 6, name="embedding")(inputs["token_ids"])
        x = x * keras.ops.expand_dims(keras.ops.cast(inputs["padding_mask"], "float32"), -1)
        backbone = keras.Model(inputs, keras.layers.Dense(5, name="above")(x), name="words")
        model = kx.Classifier(backbone, 2, hidden=[4], dropout=0.3)
        return kx.DomainAdaptation(model, adversarial(), layers=["above", model.layers[-2].name])

    def texts(seed, count):
        random = np.random.default_rng(seed)
        ids = random.integers(1, 20, (count, 7)).astype("int32")
        mask = (np.arange(7) < random.integers(2, 8, (count, 1))).astype("int32")
        inputs = {"token_ids": ids * mask, "padding_mask": mask}
        data = tf.data.Dataset.from_tensor_slices((inputs, ids[:, 0] % 2))
        return data.shuffle(count, seed=1).batch(4)

    def data():
        return kx.pair_domains(texts(0, 12), texts(1, 8), target_labels="ignore")

    def run(cache):
        keras.utils.set_random_seed(0)
        adapted = make()
        [history] = kx.fine_tune(adapted, data(), texts(2, 8), epochs=2, cache=cache, **QUIET)
        return adapted.get_weights(), [history.history]

    cache = kx.FeatureCache(tmp_path)
    assert_same(run(cache), run(None), atol=2e-5, rtol=1e-4)
    assert cache.entries()
