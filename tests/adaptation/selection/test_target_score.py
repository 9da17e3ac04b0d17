import contextlib
import copy
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.selection.target_scores import SCORES
from keras_transfer.models.compared_features import compared_features

CLASSES = 3
EVERYTHING = kx.CollapseGuard(min_source_share=0, min_entropy_share=0, max_variance_ratio=math.inf)


def make(*, seed=0, collapsed=False, dropout=0.0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(6), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    model = kx.Classifier(keras.Sequential([keras.Input([4]), *layers]), CLASSES, dropout=dropout)
    if not collapsed:
        kernel = model.layers[-1].kernel
        kernel.assign(np.random.default_rng(seed).normal(size=kernel.shape))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], jit_compile=False)
    return model


def examples(number=23, shift=0.0, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(number) % CLASSES
    x = random.normal(size=(number, 4)) + 2 * np.eye(4)[labels] + shift
    return x.astype("float32"), labels.astype("int32")


def batches(x, y=None, size=8):
    return tf.data.Dataset.from_tensor_slices(x if y is None else (x, y)).batch(size)


def target():
    return batches(examples(seed=1, shift=0.5)[0])


def source():
    return batches(*examples(seed=2))


def train():
    return batches(*examples(40)).shuffle(5, seed=0)


class After(keras.callbacks.Callback):
    """What the model predicts after each epoch, by Keras's own `predict`."""

    def __init__(self, dataset):
        super().__init__()
        self.dataset = dataset
        self.found = []

    def on_epoch_end(self, epoch, logs=None):
        self.found.append(self.model.predict(self.dataset, verbose=0).astype("float64"))


def information_maximization(logits):
    exps = np.exp(logits - logits.max(1, keepdims=True))
    p = exps / exps.sum(1, keepdims=True)
    mean = p.mean(0)
    return -(mean * np.log(mean)).sum() + (p * np.log(p)).sum(1).mean()


def fit(model, *callbacks, epochs=3, **options):
    # Keras warns that it does not shuffle a dataset.
    options = {"shuffle": False, "verbose": 0, "callbacks": list(callbacks)} | options
    return model.fit(train(), epochs=epochs, **options).history


def test_logs_hold_the_score_of_all_target_examples_and_its_running_mean():
    model, after = make(), After(target())
    history = fit(model, kx.TargetScore(target(), smoothing=0.75), after)
    expected = [information_maximization(logits) for logits in after.found]
    np.testing.assert_allclose(history["val_target_information_maximization"], expected, rtol=1e-5)
    weights = 0.75 ** np.arange(3)
    means = [np.average(expected[: i + 1][::-1], weights=weights[: i + 1]) for i in range(3)]
    np.testing.assert_allclose(history["val_target_score"], means, rtol=1e-5)


def test_without_smoothing_each_epoch_stands_alone():
    history = fit(make(), kx.TargetScore(target(), smoothing=0))
    assert history["val_target_score"] == history["val_target_information_maximization"]


def test_all_scores_are_written_on_request_and_the_first_decides():
    names = ["bnm", *(name for name in SCORES if name != "bnm")]
    call = kx.TargetScore(target(), source(), scores=names, smoothing=0, guard=EVERYTHING)
    history = fit(make(), call, epochs=1)
    written = {f"val_target_{name}" for name in ("score", *names)} | {"val_source_accuracy"}
    assert set(history) == written | {"loss", "accuracy"}
    assert history["val_target_score"] == history["val_target_bnm"]
    assert np.isfinite([history[name] for name in written]).all()


def test_scores_equal_the_functions_on_what_the_model_gives():
    model = make()
    call = kx.TargetScore(target(), source(), scores=list(SCORES), guard=EVERYTHING)
    history = fit(model, call, epochs=1)
    both = keras.Model(model.input, [model.layers[-1].input, model.output])
    (given, logits), (of_source, source_logits) = (
        both.predict(data, verbose=0) for data in (target(), source())
    )
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (logits, source_logits))
    losses = -np.log(q[np.arange(len(q)), examples(seed=2)[1]])
    expected = {
        "information_maximization": kx.information_maximization_score(p),
        "entropy": kx.entropy_score(p),
        "bnm": kx.bnm_score(p),
        "snd": kx.snd_score(p),
        "class_ami": kx.class_ami_score(given, p),
        "dev": kx.dev_score(losses, of_source, given),
        "discrepancy": kx.discrepancy_score(of_source, given),
    }
    for name, value in expected.items():
        assert history[f"val_target_{name}"][0] == pytest.approx(value, rel=1e-3, abs=1e-6), name


def test_source_accuracy_and_the_oracles_equal_those_of_keras():
    x, y = examples(seed=1, shift=0.5)
    call = kx.TargetScore(batches(x, y), source(), oracle_labels=True)
    model = make()
    history = fit(model, call)
    of_source = model.evaluate(source(), verbose=0, return_dict=True)["accuracy"]
    of_target = model.evaluate(batches(x, y), verbose=0, return_dict=True)["accuracy"]
    assert history["val_source_accuracy"][-1] == pytest.approx(of_source)
    assert history["oracle_target_accuracy"][-1] == pytest.approx(of_target)


def test_target_labels_have_no_effect_and_no_figure():
    x, y = examples(seed=1)
    words = np.array(["no label"] * len(x))
    logs = [
        fit(make(), kx.TargetScore(data, source()))
        for data in (batches(x), batches(x, y), batches(x, words))
    ]
    assert logs[0] == logs[1] == logs[2]
    assert not any("oracle" in name for name in logs[0])


@pytest.mark.parametrize("validated", [False, True])
def test_training_is_the_same_bit_for_bit_with_it(validated):
    options = {"validation_data": source()} if validated else {}
    models = [make(dropout=0.5) for _ in range(2)]
    keras.utils.set_random_seed(3)
    plain = fit(models[0], **options)
    keras.utils.set_random_seed(3)
    watched = fit(models[1], kx.TargetScore(target(), source(), scores=list(SCORES)), **options)
    assert {name: watched[name] for name in plain} == plain
    states = [[*model.variables, *model.optimizer.variables] for model in models]
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert models[1].predict_function is None


def test_the_model_is_traced_once_for_all_epochs_and_trainings():
    traces = []

    class Counts(keras.layers.Layer):
        def call(self, x):
            traces.append(x.shape)
            return x

    body = keras.Sequential([keras.Input([4]), Counts(), keras.layers.Dense(6)])
    model = kx.Classifier(body, CLASSES)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fit(model)
    call = kx.TargetScore(target(), source(), guard=EVERYTHING)
    traces.clear()
    fit(model, call)
    # One for each dataset, of any batch size; anything more was Keras's.
    assert [shape[0] for shape in traces].count(None) == len(traces)
    before = len(traces)
    fit(model, call, epochs=4)
    assert len(traces) == before


def test_early_stopping_restores_the_epoch_of_the_best_score(tmp_path):
    model, weights = make(), []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(model.get_weights())
    )
    stop = keras.callbacks.EarlyStopping(
        "val_target_score", mode="max", patience=3, restore_best_weights=True
    )
    path = str(tmp_path / "best.weights.h5")
    save = keras.callbacks.ModelCheckpoint(
        path, "val_target_score", mode="max", save_best_only=True, save_weights_only=True
    )
    # A rate so high that the best epoch is somewhere in between.
    model.optimizer.learning_rate = 0.3
    history = fit(model, kx.TargetScore(target(), smoothing=0), keep, stop, save, epochs=12)
    best = int(np.argmax(history["val_target_score"]))
    assert 0 < best < len(weights) - 1
    for one, other in zip(model.get_weights(), weights[best], strict=True):
        np.testing.assert_array_equal(one, other)
    other = keras.models.clone_model(model)
    other.load_weights(path)
    np.testing.assert_array_equal(other.get_weights()[0], weights[best][0])


def test_rejected_epochs_are_never_the_best():
    model = make()

    def collapse(epoch, logs):
        if epoch in (0, 2):
            model.layers[-1].set_weights([np.zeros([6, 3]), np.array([50.0, 0, 0])])
        else:
            model.layers[-1].set_weights([np.eye(6, 3), np.zeros(3)])

    model.optimizer.learning_rate = 0.0
    before = keras.callbacks.LambdaCallback(on_epoch_end=collapse)
    call = kx.TargetScore(target(), scores=["entropy"], smoothing=0.5)
    stop = keras.callbacks.EarlyStopping("val_target_score", mode="max", restore_best_weights=True)
    stop.patience = 9
    history = fit(model, before, call, stop, epochs=4)
    assert [math.isfinite(x) for x in history["val_target_score"]] == [False, True, False, True]
    # The mean goes over what was not rejected.
    first, last = (history["val_target_entropy"][epoch] for epoch in (1, 3))
    assert history["val_target_score"][3] == pytest.approx((first + 2 * last) / 3)
    assert list(call.rejections) == [0, 2]
    np.testing.assert_array_equal(model.layers[-1].bias.numpy(), np.zeros(3))


@pytest.mark.parametrize("certain", [False, True])
def test_a_collapsed_model_is_rejected_by_every_score(certain):
    model = make(collapsed=True)
    model.layers[-1].bias.assign([40.0 * certain, 0, 0])
    model.optimizer.learning_rate = 0.0
    call = kx.TargetScore(target(), source(), scores=list(SCORES))
    with pytest.warns(
        UserWarning, match="rejected the model of each epoch.*epoch 1: the predicted"
    ):
        history = fit(model, call, epochs=1)
    for score in ("score", *SCORES):
        assert history[f"val_target_{score}"] == [-math.inf], score
    assert list(call.rejections) == [0]


def test_a_model_that_forgets_the_source_is_rejected():
    x, y = examples(60)
    model = make()
    model.fit(x, y, epochs=30, verbose=0)
    model.optimizer.learning_rate = 0.0
    wrong = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: model.layers[-1].kernel.assign(
            np.roll(model.layers[-1].kernel.numpy(), 1, axis=1)
        )
    )
    call = kx.TargetScore(target(), batches(x, y))
    with pytest.warns(UserWarning, match=r"source accuracy of .* is below 0.9 times the"):
        fit(model, wrong, call, epochs=1)
    unknown = kx.TargetScore(target(), batches(x, y), guard=EVERYTHING)
    assert math.isfinite(fit(model, unknown, epochs=1)["val_target_score"][0])
    given = kx.CollapseGuard(source_only_accuracy=0.01)
    assert math.isfinite(
        fit(model, kx.TargetScore(target(), batches(x, y), guard=given), epochs=1)[
            "val_target_score"
        ][0]
    )


def test_features_that_vary_otherwise_are_rejected():
    model = make()
    x = 20 * examples(seed=1)[0]
    with pytest.warns(UserWarning, match="variance of .* more than 10 times apart"):
        fit(model, kx.TargetScore(batches(x), source()), epochs=1)
    assert math.isfinite(fit(model, kx.TargetScore(batches(x)), epochs=1)["val_target_score"][0])


def test_nan_is_rejected_and_training_goes_on():
    model = make()
    spoil = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: model.layers[-1].bias.assign([np.nan] * 3)
    )
    call = kx.TargetScore(
        batches(*examples(seed=1)), source(), scores=list(SCORES), oracle_labels=True
    )
    with pytest.warns(UserWarning, match="NaN"):
        history = fit(model, spoil, call, epochs=1)
    assert history["val_target_score"] == [-math.inf]
    assert math.isnan(history["oracle_target_accuracy"][0])


def test_a_finite_score_of_rejected_models_is_written():
    guard = kx.CollapseGuard(rejected_score=0.0)
    model = make(collapsed=True)
    model.optimizer.learning_rate = 0.0
    with pytest.warns(UserWarning, match="rejected"):
        history = fit(model, kx.TargetScore(target(), guard=guard), epochs=1)
    assert history["val_target_score"] == [0.0]


def test_a_rejection_is_told_where_fit_tells_of_epochs(capsys):
    model = make(collapsed=True)
    model.optimizer.learning_rate = 0.0
    with pytest.warns(UserWarning, match="rejected"):
        model.fit(*examples(), verbose=2, callbacks=[kx.TargetScore(target())])
    assert "Epoch 1: kx.TargetScore rejects the model: the predicted" in capsys.readouterr().out


class Adapted(keras.Model):
    """What kx.DomainAdaptation promises: source data are predicted in a context of their own."""

    trains = "model"

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.feature_model = compared_features(model)
        self.built = True
        self.entered = 0

    def call(self, inputs, training=None):
        return self.model(inputs, training=training)

    @contextlib.contextmanager
    def as_source(self):
        self.entered += 1
        bias = self.model.layers[-1].bias
        of_target = bias.numpy()
        bias.assign([0.0, 0.0, 1e3])
        try:
            yield
        finally:
            bias.assign(of_target)


def test_adapted_models_predict_the_source_as_such():
    model = Adapted(make())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss)
    call = kx.TargetScore(target(), source(), scores=["class_ami", "entropy"], smoothing=0)
    history = fit(model, call, epochs=2)
    assert model.entered == 3  # before training and after each epoch
    # Class 2 is what the context makes of all source examples.
    assert history["val_source_accuracy"] == [pytest.approx((examples(seed=2)[1] == 2).mean())] * 2
    logits = model.predict(target(), verbose=0)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    given = model.feature_model(examples(seed=1, shift=0.5)[0])[0].numpy()
    assert history["val_target_entropy"][-1] == pytest.approx(kx.entropy_score(p), rel=1e-5)
    assert history["val_target_class_ami"][-1] == pytest.approx(kx.class_ami_score(given, p))


def test_structures_of_inputs_are_taken():
    ids, scale = keras.Input([4], name="ids"), keras.Input([1], name="scale")
    x = keras.layers.Dense(5)(keras.layers.Multiply()([ids, scale]))
    model = keras.Model({"ids": ids, "scale": scale}, keras.layers.Dense(CLASSES)(x))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = examples()
    inputs = {"ids": x, "scale": np.full([len(x), 1], 2.0, "float32")}
    call = kx.TargetScore(batches(inputs), batches(inputs, y), scores=["entropy", "class_ami"])
    history = model.fit(batches(inputs, y), callbacks=[call], verbose=0, shuffle=False).history
    logits = model.predict(inputs, verbose=0)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert history["val_target_entropy"][0] == pytest.approx(kx.entropy_score(p), rel=1e-5)


def test_it_works_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    call = kx.TargetScore(target(), source(), scores=["entropy", "class_ami"])
    history = fit(make(), call, epochs=1)
    assert math.isfinite(history["val_target_class_ami"][0])


def test_it_works_in_fine_tune(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, tiny_data.class_names)
    call = kx.TargetScore(tiny_data.test, scores=["entropy"], guard=EVERYTHING)
    history = kx.fine_tune(model, tiny_data.train, epochs=2, callbacks=[call], verbose=0)
    logs = (history[-1] if isinstance(history, list) else history).history
    logits = model.predict(tiny_data.test, verbose=0)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert logs["val_target_entropy"][-1] == pytest.approx(kx.entropy_score(p), rel=1e-4)


def test_copies_share_the_datasets_and_nothing_else():
    call = kx.TargetScore(target(), source(), scores=["bnm"], smoothing=0.2, oracle_labels=True)
    call.rejections[0] = "of the first"
    other = copy.deepcopy([call])[0]
    assert (other.target, other.source) == (call.target, call.source)
    assert (other.scores, other.smoothing, other.oracle_labels) == (["bnm"], 0.2, True)
    assert other.guard == call.guard
    assert other.rejections == {}


@pytest.mark.slow
def test_two_replicas_equal_one_device_inside_a_scope_and_outside():
    code = """
import contextlib, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
from keras_transfer.models.compared_features import compared_features
x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
y = x[:, :3].argmax(1)
data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
held_out = tf.data.Dataset.from_tensor_slices((x[:11], y[:11])).batch(4)
def run(strategy, scoped=False):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        body = keras.Sequential([keras.Input([4]), keras.layers.Dense(6, activation="relu")])
        model = kx.Classifier(body, 3)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    guard = kx.CollapseGuard(min_entropy_share=0, max_variance_ratio=1e9)
    call = kx.TargetScore(held_out, held_out, guard=guard, scores=["entropy", "class_ami"])
    with strategy.scope() if scoped else contextlib.nullcontext():
        logs = model.fit(data, epochs=4, verbose=0, callbacks=[call]).history
    return np.array([logs[name] for name in sorted(logs)])
one = run(tf.distribute.get_strategy())
two = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
print(max(np.abs(one - run(two, scoped)).max() for scoped in (False, True)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < 1e-5


@pytest.mark.parametrize(
    ("settings", "received"),
    [
        ({"target": np.ones([3, 4])}, "target.*<class 'numpy.ndarray'>"),
        ({"target": target().repeat()}, "`target` to be finite"),
        ({"target": target().take(0)}, "`target` to be finite and to have a batch"),
        ({"source": source().repeat()}, "`source` to be finite"),
        ({"source": "noto"}, "source.*<class 'str'>"),
        ({"scores": ["entropie"]}, r"among \['information_maximization'.*\['entropie'\]"),
        ({"scores": []}, r"scores=\[\]"),
        ({"scores": "entropy"}, "scores='entropy'"),
        ({"scores": ["dev"]}, r"`source` for \['dev'\]"),
        ({"scores": ["discrepancy"]}, r"`source` for \['discrepancy'\]"),
        ({"smoothing": 1.0}, "smoothing=1.0"),
        ({"smoothing": -0.1}, "smoothing=-0.1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, received):
    with pytest.raises(ValueError, match=received):
        kx.TargetScore(**({"target": target()} | settings))


def test_data_without_what_is_asked_for_are_refused():
    with pytest.raises(ValueError, match=r"`source` to hold batches \(inputs, labels\)"):
        fit(make(), kx.TargetScore(target(), target()))
    with pytest.raises(ValueError, match=r"`target` to hold batches \(inputs, labels\)"):
        fit(make(), kx.TargetScore(target(), oracle_labels=True))
    none = target().filter(lambda x: False)
    with pytest.raises(ValueError, match="`target` to have a batch at least"):
        fit(make(), kx.TargetScore(none))


def test_models_that_give_no_logits_of_classes_are_refused():
    body = keras.Sequential([keras.Input([4]), keras.layers.Dense(6)])
    soft = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, activation="softmax")])
    models = {
        "class_logits": kx.Classifier(body, 3, multi_label=True),
        "values": kx.Regressor(body, 3),
        soft.layers[-1].name: soft,
    }
    for name, model in models.items():
        model.compile("adam", "mse")
        with pytest.raises(ValueError, match=f"gives logits.*ends in '{name}'"):
            model.fit(*examples(3), callbacks=[kx.TargetScore(target())], verbose=0)
    one = keras.Sequential([keras.Input([4]), keras.layers.Dense(1)])
    one.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"of 2 classes at least. Received: .*\(None, 1\)"):
        one.fit(*examples(3), callbacks=[kx.TargetScore(target())], verbose=0)


def test_features_are_needed_by_their_scores_alone():
    model = keras.Sequential(
        [keras.Input([4]), keras.layers.Dense(CLASSES), keras.layers.Activation("linear")]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = fit(model, kx.TargetScore(target(), source(), guard=kx.CollapseGuard()))
    assert "val_target_score" in history
    with pytest.raises(ValueError, match="from a dense layer"):
        fit(model, kx.TargetScore(target(), scores=["class_ami"]))
