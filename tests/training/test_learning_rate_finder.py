import random
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

RAMP = keras.optimizers.schedules.PolynomialDecay(1e-2, 20, 1e-4)
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(1e-3),
    "momentum": lambda: keras.optimizers.SGD(1e-2, momentum=0.9, nesterov=True, clipnorm=1.0),
    "schedule": lambda: keras.optimizers.AdamW(RAMP, weight_decay=0.1),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3)),
    "averaged": lambda: keras.optimizers.Adam(1e-3, use_ema=True, gradient_accumulation_steps=2),
}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def find(*arguments, **options):
    """With few steps; what a curve of those says is of no interest here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return kx.find_learning_rate(*arguments, **{"steps": 12, "verbose": 0, **options})


def dense_model():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, name="logits"),
        ]
    )


def data():
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    noise = keras.layers.GaussianNoise(0.1, seed=1)
    batches = tf.data.Dataset.from_tensor_slices((x, x[:, :3].argmax(1))).shuffle(64, seed=0)
    return batches.batch(16).map(lambda x, y: (noise(x, training=True), y)).prefetch(2)


def compiled(optimizer):
    keras.utils.set_random_seed(0)
    model = dense_model()
    model.compile(optimizer(), LOSS, metrics=["accuracy"])
    return model


def snapshot(model):
    """All that training changes and that can be seen from outside."""
    holders = [*model.variables, *model.metrics_variables]
    if model.compiled:
        holders += model.optimizer.variables
    return {
        "values": [np.array(variable.numpy()) for variable in holders],
        "paths": [variable.path for variable in holders],
        "flags": [holder.trainable for holder in [*model._flatten_layers(), *model.variables]],
        "attributes": {name: id(value) for name, value in vars(model).items()},
        "checkpoint": sorted(model._trackable_children()),
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),
        "tensorflow": tf.random.get_global_generator().state.numpy().tolist(),
    }


def assert_same(found, expected):
    for name in expected:
        if name == "values":
            for one, other in zip(found[name], expected[name], strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            assert found[name] == expected[name], name


@pytest.mark.parametrize(
    ("optimizer", "trained_before"),
    [
        ("adam", False),
        ("loss scale", True),
        *(
            pytest.param(*further, marks=pytest.mark.slow)
            for further in (
                ("schedule", True),
                ("adam", True),
                ("momentum", False),
                ("averaged", False),
            )
        ),
    ],
)
def test_training_goes_on_as_if_there_had_been_no_search(optimizer, trained_before):
    weights, logs = [], []
    for search in (False, True):
        model, train = compiled(OPTIMIZERS[optimizer]), data()
        if trained_before:
            model.fit(train, epochs=1, verbose=0, shuffle=False)
        if search:
            before = snapshot(model)
            find(model, train)
            assert_same(snapshot(model), before)
        history = model.fit(train, epochs=2, verbose=0, shuffle=False)
        logs.append(history.history)
        weights.append([v.numpy() for v in [*model.variables, *model.optimizer.variables]])
    assert logs[0] == logs[1]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_random_numbers_go_on_as_if_there_had_been_no_search():
    def draw():
        return [
            random.random(),
            np.random.rand(),
            float(tf.random.uniform(())),
            float(keras.random.uniform(())),
            float(tf.random.get_global_generator().uniform(())),
            keras.layers.Dropout(0.5).seed_generator.state.numpy().tolist(),
            keras.layers.Dense(1).name,
        ]

    class Random(keras.layers.Layer):
        def call(self, x):
            random.random()
            np.random.rand()
            return x + keras.random.normal((1,)) + tf.random.get_global_generator().normal((1,))

    drawn = []
    for search in (False, True):
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        tf.random.set_global_generator(tf.random.Generator.from_seed(0))
        model = keras.Sequential([keras.Input((6,)), Random(), keras.layers.Dense(3)])
        model.compile("sgd", LOSS, run_eagerly=True)
        train = data()
        if search:
            find(model, train)
        drawn.append(draw())
    assert drawn[0] == drawn[1]


def test_a_model_that_was_not_compiled_stays_so_and_its_flags_stay(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2, dropout=0.2)
    tiny_backbone.get_layer("second").trainable = False
    tiny_backbone.get_layer("third").kernel.trainable = False
    before = snapshot(model)
    assert len(find(model, tiny_data.train, strategy=kx.FineTuning(1)).losses) == 12
    assert_same(snapshot(model), before)
    assert not model.compiled
    assert "history" not in vars(model)


class _Stop(keras.layers.Layer):
    """Raises at its third call in training."""

    def __init__(self, error):
        super().__init__()
        self.error = error
        self.calls = 0

    def call(self, x, training=False):
        self.calls += bool(training)
        if self.calls == 3:
            raise self.error
        return x


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no memory")], ids=str)
def test_an_interrupted_search_leaves_the_model_as_it_was(error):
    model = keras.Sequential([*dense_model().layers, _Stop(error)])
    model.build((None, 6))
    model.compile("adam", LOSS, run_eagerly=True)
    before = snapshot(model)
    with pytest.raises(type(error)):
        find(model, data())
    assert model.layers[-1].calls == 3
    assert_same(snapshot(model), before)


def test_frozen_weights_take_no_part():
    model = compiled(OPTIMIZERS["adam"])
    model.trainable = False
    model.layers[-1].trainable = model.trainable = True
    for layer in model.layers[:-1]:
        layer.trainable = False
    seen = []

    class Spy(keras.losses.Loss):
        def call(self, y_true, y_pred):
            seen.append([w.path for w in model.optimizer.variables if "momentum" in w.path])
            return LOSS(y_true, y_pred)

    model.compile("adam", Spy())
    find(model, data())
    assert len(seen[-1]) == 2


def test_rates_and_losses_are_those_of_a_computation_by_hand():
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = x.sum(1, keepdims=True)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.5), "mse", steps_per_execution=4)
    kernel = model.layers[0].kernel.numpy().astype("float64")
    curve = find(model, tf.data.Dataset.from_tensors((x, y)), low=1e-3, high=1e-1)
    rates = 1e-3 * 100 ** (np.arange(12) / 11)
    losses = []
    for rate in rates:
        error = x @ kernel - y
        losses.append((error**2).mean())
        kernel = kernel - rate * 2 * x.T @ error / 8
    np.testing.assert_allclose(curve.learning_rates, rates, 1e-12)
    np.testing.assert_allclose(curve.losses, losses, 1e-5)


@pytest.mark.parametrize("kind", ["explodes", "nan"])
def test_search_ends_where_the_loss_diverges(kind):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    calls = []

    def loss(y_true, y_pred):
        calls.append(0)
        broken = float("nan") if kind == "nan" else 100.0
        return keras.ops.mean(y_pred**2) * 0 + (2.0 if len(calls) < 15 else broken)

    model.compile("sgd", loss, run_eagerly=True)
    with pytest.warns(UserWarning, match="never clearly fell"):
        curve = kx.find_learning_rate(model, data(), steps=50, verbose=0)
    assert curve.diverged
    assert len(calls) < 18
    assert np.isfinite(curve.losses).all()


def test_infinite_data_will_do():
    model = compiled(OPTIMIZERS["adam"])
    assert len(find(model, data().repeat()).losses) == 12


def test_weights_without_decay_have_none_in_the_search_either():
    model = dense_model()
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, LOSS)
    seen = {}

    class Spy(keras.losses.Loss):
        def call(self, y_true, y_pred):
            for weight in model.trainable_weights:
                seen[weight.name] = model.optimizer._use_weight_decay(weight)
            return LOSS(y_true, y_pred)

    model.compile(optimizer, Spy())
    find(model, data())
    assert seen["kernel"]
    assert not seen["bias"]


def test_a_dataset_that_cannot_be_copied_is_read_with_a_warning():
    numbers = iter(tf.data.Dataset.range(10**6))
    train = data().map(lambda x, y: (x + 0 * tf.cast(next(numbers), "float32"), y))
    with pytest.warns(UserWarning, match="reads the dataset itself"):
        kx.find_learning_rate(compiled(OPTIMIZERS["adam"]), train, steps=100, verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0.0}, "low=0.0"),
        ({"low": 1.0, "high": 0.1}, "low=1.0, high=0.1"),
        ({"steps": 9}, "steps=9"),
        ({"smoothing": 0.0}, "smoothing=0.0"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        kx.find_learning_rate(compiled(OPTIMIZERS["adam"]), data(), **options)


def test_wrong_models_and_data_are_refused():
    model = compiled(OPTIMIZERS["adam"])
    with pytest.raises(ValueError, match="tf.data.Dataset. Received: <class 'list'>"):
        find(model, [])
    with pytest.raises(ValueError, match="built model"):
        find(keras.Sequential([keras.layers.Dense(1)]), data())
    pixels = keras.Input((6,))
    unknown = keras.Model(pixels, keras.layers.Dense(3, name="elsewhere")(pixels))
    with pytest.raises(ValueError, match=r"Expected a model made by .*'elsewhere'"):
        find(unknown, data())
    with pytest.raises(ValueError, match=r"not empty. Received: losses \[\]"):
        find(model, data().take(0))


@pytest.mark.slow
def test_two_replicas_find_the_rates_of_one_and_train_on_as_before():
    code = """
import keras, numpy as np, tensorflow as tf, warnings
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
warnings.simplefilter("ignore")
x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
def train(search, replicas, dropout):
    keras.utils.set_random_seed(0)
    data = tf.data.Dataset.from_tensor_slices((x, x[:, 0])).batch(16)
    with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"][:replicas]).scope():
        layers = [keras.layers.Dense(8), keras.layers.Dropout(dropout), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((6,)), *layers])
        schedule = kx.CyclicalLearningRate(1e-3, 1e-2, 3)
        model.compile(keras.optimizers.Adam(schedule), "mse", jit_compile=False)
    curve = kx.find_learning_rate(model, data, steps=12, verbose=0) if search else None
    model.fit(data, epochs=1, verbose=0, shuffle=False)
    rate = float(model.optimizer.learning_rate)
    np.testing.assert_allclose(rate, float(schedule(4)), 1e-6)
    return curve, [v.numpy() for v in [*model.variables, *model.optimizer.variables]]
for one, other in zip(train(True, 2, 0.5)[1], train(False, 2, 0.5)[1]):
    np.testing.assert_array_equal(one, other)
curves = [train(True, replicas, 0.0)[0] for replicas in (1, 2)]
np.testing.assert_allclose(curves[0].losses, curves[1].losses, 1e-4)
print("found")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith("found"), done.stderr[-2000:]
