"""`kx.DomainAdaptation` together with the rest of the package, and with data that goes wrong."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 255, (8, 32, 32, 3)).astype("float32")
OTHERS = 255 - PIXELS[:6] / 2
X, LABELS = RANDOM.normal(size=(8, 4)).astype("float32"), np.arange(8) % 2
Z = RANDOM.normal(0.7, 1.3, size=(6, 4)).astype("float32")
ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

STRATEGIES = {
    "feature extraction": (kx.FeatureExtraction(), 0),
    "everything": (kx.FineTuning(), 0),
    "last": (kx.FineTuning(1), 0),
    "batch norm": (kx.FineTuning(2, batch_norm="trainable"), 0),
    "gradual": (kx.GradualUnfreezing(3), 1),
    "sequence": (kx.Sequence([kx.FeatureExtraction(), kx.FineTuning()]), 1),
    "normalization": (kx.NormalizationTuning(), 0),
    "biases": (kx.BiasTuning(), 0),
}


def pairs(x=X, y=LABELS, z=Z, *, size=8):
    source = tf.data.Dataset.from_tensor_slices((x, y)).batch(size)
    return kx.pair_domains(source, tf.data.Dataset.from_tensor_slices(z).batch(size))


def make(classes=2, seed=0):
    keras.utils.set_random_seed(seed)
    body = keras.Sequential([keras.Input([4]), keras.layers.Dense(6, "tanh", name="hidden")])
    model = kx.Classifier(body, classes)
    kernel = model.layers[-1].kernel
    kernel.assign(np.random.default_rng(seed).normal(size=kernel.shape))
    return model


def adaptation(model, method=None, *, rate=0.1, **options):
    method = method or kx.MaximumMeanDiscrepancy()
    adapted = kx.DomainAdaptation(model, method, schedule="constant", **options)
    adapted.compile(keras.optimizers.SGD(rate), ENTROPY)
    return adapted


def values(model):
    return {weight.path: weight.numpy() for weight in model.weights}


def test_every_strategy_has_a_row():
    from keras_transfer.strategies.strategy import Strategy

    every = [getattr(kx, name) for name in kx.__all__ if isinstance(getattr(kx, name), type)]
    public = {kind for kind in every if issubclass(kind, Strategy) and kind is not Strategy}
    assert {kind.__name__ for kind in public} <= {type(s).__name__ for s, _ in STRATEGIES.values()}


@pytest.mark.parametrize("normalization", ["joint", "per_domain"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_leave_what_is_frozen_bit_for_bit(name, normalization, tiny_backbone, learnt):
    strategy, stage = STRATEGIES[name]
    model = learnt(kx.Classifier(tiny_backbone, 2))
    strategy.apply(model, stage)
    adapted = kx.DomainAdaptation(
        model, kx.DeepCoral(), normalization=normalization, schedule="constant"
    )
    adapted.compile(keras.optimizers.SGD(0.1), ENTROPY, run_eagerly=True)
    before = values(model)
    trained = {w.path for w in model.trainable_weights}
    norms = [x for x in model._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]
    trained |= {w.path for x in norms if x.trainable for w in x.non_trainable_weights}
    adapted.fit(pairs(PIXELS, LABELS, OTHERS), verbose=0)
    moved = {
        path for path, value in values(model).items() if not np.array_equal(before[path], value)
    }
    assert moved == trained


def test_a_strategy_applies_to_what_is_trained(tiny_backbone):
    adapted = adaptation(kx.Classifier(tiny_backbone, 2))
    kx.FeatureExtraction().apply(adapted.model)
    assert len(adapted.trainable_weights) == 2


def test_layerwise_rates_count_the_terms_schedule():
    adapted = kx.DomainAdaptation(make(), lambda *_: tf.ones([]), schedule=lambda done: done)
    weights = adapted.trainable_weights
    inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    optimizer = kx.LayerwiseOptimizer(inner, [0.5] * len(weights))
    adapted.compile(optimizer, ENTROPY)
    logs = adapted.fit(pairs(size=4), epochs=3, verbose=0).history
    np.testing.assert_allclose(logs["adaptation_loss"], [0, 2 / 6, 4 / 6], rtol=1e-6)


def test_the_tail_adapts_the_model_on_features_from_the_cache(tiny_backbone, learnt, tmp_path):
    model = learnt(kx.Classifier(tiny_backbone, 2))
    kx.FineTuning(1).apply(model)
    before = values(model)
    prefix, tail = kx.split_frozen(model)
    cache = kx.FeatureCache(tmp_path)
    domains = [
        kx.arrays(x.astype("uint8"), y, batch_size=8, validation_split=0.0).train
        for x, y in ((PIXELS, LABELS), (OTHERS, np.zeros(6, int)))
    ]
    source, target = (cache.features(prefix, domain, verbose=False) for domain in domains)
    adapted = adaptation(tail)
    logs = adapted.fit(kx.pair_domains(source, target, target_labels="ignore"), verbose=0).history
    whole = learnt(kx.Classifier(keras.models.clone_model(tiny_backbone), 2))
    for weight in whole.weights:
        weight.assign(before[weight.path])
    kx.FineTuning(1).apply(whole)
    direct = adaptation(whole)
    pixels = kx.pair_domains(*domains, target_labels="ignore")
    expected = direct.fit(pixels, verbose=0).history
    assert logs["adaptation_loss"] == pytest.approx(expected["adaptation_loss"], rel=1e-3, abs=1e-5)
    after = values(whole)
    moved = 0
    for path, value in values(model).items():
        np.testing.assert_allclose(value, after[path], rtol=1e-3, atol=5e-5)
        moved += not np.array_equal(value, before[path])
    assert moved == len(model.trainable_weights)


def test_the_model_is_saved_alone_and_the_wrapper_says_so(tmp_path):
    model = make()
    adapted = adaptation(model)
    adapted.fit(pairs(), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(Z, verbose=0), model.predict(Z, verbose=0))
    with pytest.raises(NotImplementedError, match=r"`.model.save.*save_weights_only"):
        adapted.save(tmp_path / "adapted.keras")


@pytest.mark.parametrize(
    "method",
    [
        lambda: kx.DomainAdversarial([5]),
        lambda: kx.MaximumMeanDiscrepancy(momentum=0.9),
        lambda: kx.RandomFourierMMD(16),
        lambda: kx.Reconstruction(),
    ],
)
def test_weights_with_the_methods_own_are_saved_and_restored(method, tmp_path):
    adapted = adaptation(make(), method(), layers=["hidden", "logits"])
    file = str(tmp_path / "{epoch}.weights.h5")
    callback = keras.callbacks.ModelCheckpoint(file, save_weights_only=True)
    adapted.fit(pairs(), callbacks=[callback], verbose=0)
    other = adaptation(make(seed=1), method(), layers=["hidden", "logits"])
    assert [w.shape for w in other.weights] == [w.shape for w in adapted.weights]
    other.load_weights(file.format(epoch=1))
    for one, loaded in zip(adapted.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), loaded.numpy())
    own = len(adapted.weights) - len(adapted.model.weights)
    assert own == 2 + len(adapted.method.weights) > 2
    after = adapted.fit(pairs(), verbose=0).history, other.fit(pairs(), verbose=0).history
    keras.tree.map_structure(np.testing.assert_allclose, *after)


def test_statistics_of_both_domains_are_saved(tmp_path):
    def build():
        norm = keras.layers.BatchNormalization()
        model = kx.Classifier(keras.Sequential([keras.Input([4]), norm]), 2)
        return adaptation(model, normalization="per_domain")

    adapted, other = build(), build()
    adapted.fit(pairs(), verbose=0)
    adapted.save_weights(tmp_path / "all.weights.h5")
    other.load_weights(tmp_path / "all.weights.h5")
    for one, loaded in zip(adapted.source_statistics, other.source_statistics, strict=True):
        np.testing.assert_array_equal(one.numpy(), loaded.numpy())
        assert np.abs(one.numpy()).max() > 0


def test_a_score_without_labels_stops_early_and_restores_the_best():
    adapted = adaptation(make(), kx.DomainAdversarial([5]), rate=0.5)
    holdout = tf.data.Dataset.from_tensors(Z)
    source = tf.data.Dataset.from_tensors((X, LABELS))
    guard = kx.CollapseGuard(min_source_share=0.0, min_entropy_share=0.0)
    score = kx.TargetScore(holdout, source, scores=["entropy"], guard=guard)

    class Noting(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.weights = []

        def on_epoch_end(self, epoch, logs=None):
            self.weights.append(self.model.get_weights())

    noting = Noting()
    stopping = keras.callbacks.EarlyStopping(
        "val_target_score", mode="min", patience=1, restore_best_weights=True
    )
    logs = adapted.fit(pairs(), epochs=4, callbacks=[score, noting, stopping], verbose=0).history
    best = int(np.argmin(logs["val_target_score"]))
    for found, wanted in zip(adapted.get_weights(), noting.weights[best], strict=True):
        np.testing.assert_array_equal(found, wanted)


def few_labels(size=8):
    source = tf.data.Dataset.from_tensor_slices((X, LABELS)).batch(size)
    some = tf.data.Dataset.from_tensor_slices((Z, np.array([0, 1, -1, -1, 0, -1])))
    return kx.pair_domains(source, some.batch(size), target_labels="train")


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"jit_compile": True}, {"steps_per_execution": 2}])
@pytest.mark.parametrize("method", [kx.DomainAdversarial, kx.ContrastiveSemanticAlignment])
def test_xla_and_several_steps_at_once_give_the_same(method, options):
    found = []
    for chosen in ({"jit_compile": False}, options):
        keras.utils.set_random_seed(0)
        adapted = kx.DomainAdaptation(make(), method(), schedule="ramp")
        adapted.compile(keras.optimizers.SGD(0.1), ENTROPY, metrics=["accuracy"], **chosen)
        logs = adapted.fit(few_labels(size=4), epochs=2, verbose=0).history
        found.append([*adapted.model.get_weights(), *(np.array(x) for x in logs.values())])
    for plain, compiled in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-5)


def test_pairs_are_predicted_with_the_features_compared():
    model = make()
    found = adaptation(model).predict(pairs(size=4), verbose=0)
    for domain, x in (("source", X), ("target", Z)):
        features, logits = found[domain]
        np.testing.assert_allclose(logits, model.predict(x, verbose=0), atol=1e-6)
        kernel = model.layers[-1].kernel.numpy()
        np.testing.assert_allclose(features @ kernel, logits, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_losses_are_float32_under_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    adapted = adaptation(make())
    before = values(adapted.model)
    logs = adapted.fit(pairs(), epochs=2, verbose=0).history
    assert np.isfinite([logs["loss"], logs["adaptation_loss"]]).all()
    assert any(not np.array_equal(before[p], v) for p, v in values(adapted.model).items())
    scaled = isinstance(adapted.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


def finite(adapted, data):
    logs = adapted.fit(data, verbose=0).history
    assert np.isfinite([*logs["loss"], *logs["adaptation_loss"]]).all()
    assert all(np.isfinite(w).all() for w in adapted.get_weights())
    return logs["adaptation_loss"][0]


METHODS = {
    "mmd": kx.MaximumMeanDiscrepancy,
    "coral": kx.DeepCoral,
    "joint": kx.JointMMD,
    "local": kx.LocalMMD,
    "adversarial": lambda: kx.DomainAdversarial([5]),
    "conditional": lambda: kx.ConditionalAdversarial([5]),
    "confusion": kx.MinimumClassConfusion,
}
# One that compares features, and one that trains weights of its own; the others are slow.
SOME = [
    pytest.param(name, marks=[] if name in ("mmd", "adversarial") else pytest.mark.slow)
    for name in METHODS
]


@pytest.mark.filterwarnings("ignore:.*Expected at least 2 examples")
@pytest.mark.parametrize("name", METHODS)
def test_batches_of_one_are_defined(name):
    term = finite(adaptation(make(), METHODS[name]()), pairs(X[:1], LABELS[:1], Z[:1]))
    if name in ("mmd", "coral", "joint", "local"):
        assert term == 0


@pytest.mark.parametrize("name", SOME)
def test_a_target_of_one_class_or_shorter_than_a_batch_is_defined(name):
    finite(adaptation(make(), METHODS[name]()), pairs(X, LABELS, np.repeat(Z[:1], 3, 0), size=4))


@pytest.mark.parametrize("name", ["mmd", "joint", "local"])
def test_constant_features_are_switched_off_and_told(name, capfd):
    method = METHODS[name]()
    term = finite(adaptation(make(), method), pairs(0 * X, LABELS, 0 * Z))
    assert abs(term) < 1e-5
    assert f"{method.name} is switched off for a batch" in capfd.readouterr().err


def weighted_pairs(source_weights, target_weights):
    source = tf.data.Dataset.from_tensors((X, LABELS, np.float32(source_weights)))
    target = tf.data.Dataset.from_tensors((Z, np.zeros(6, int), np.float32(target_weights)))
    return kx.pair_domains(source, target, target_labels="ignore")


@pytest.mark.parametrize("name", SOME)
def test_weights_that_sum_to_zero_are_defined(name):
    adapted = adaptation(make(), METHODS[name]())
    for source, target in ((0, 1), (1, 0), (0, 0)):
        finite(adapted, weighted_pairs(source * np.ones(8), target * np.ones(6)))


@pytest.mark.parametrize("name", SOME)
def test_nan_in_one_domain_shows_in_the_loss(name):
    broken = Z.copy()
    broken[2, 1] = np.nan
    adapted = adaptation(make(), METHODS[name]())
    stop = keras.callbacks.TerminateOnNaN()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logs = adapted.fit(pairs(z=broken), epochs=9, callbacks=[stop], verbose=0).history
    # TensorFlow's ReLU of NaN is 0, so that a discriminator takes a few steps to be NaN.
    assert np.isnan(logs["loss"][-1])
    assert len(logs["loss"]) < (9 if name == "adversarial" else 2)


@pytest.mark.parametrize(
    "method", [kx.ContrastiveSemanticAlignment, kx.StochasticNeighborhoodEmbedding]
)
def test_methods_for_a_target_with_labels_ask_for_them(method):
    with pytest.raises(ValueError, match=f"target_labels='train'.*target for {method.__name__}"):
        adaptation(make(), method()).fit(pairs(), verbose=0)
    finite(adaptation(make(), method()), few_labels())


def test_anything_but_pairs_is_refused():
    adapted = adaptation(make())
    with pytest.raises(ValueError, match="`kx.pair_domains` makes.*Received.*ndarray"):
        adapted.fit(X, LABELS, verbose=0)
    uncompiled = kx.DomainAdaptation(make(), kx.DeepCoral())
    with pytest.raises(ValueError, match="compile"):
        uncompiled.fit(pairs(), verbose=0)


def test_models_that_cannot_be_adapted_are_refused():
    class Subclassed(keras.Model):
        pass

    vector = keras.Input([3])
    activated = keras.Model(vector, keras.layers.ReLU()(keras.layers.Dense(2)(vector)))
    for model in (Subclassed(), activated):
        with pytest.raises(ValueError, match=f"from a dense layer.*{model.name}"):
            kx.DomainAdaptation(model, kx.DeepCoral())
