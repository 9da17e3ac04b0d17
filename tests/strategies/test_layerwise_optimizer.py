"""Every feature of Keras's optimizers goes on working; numbers come from NumPy in float64."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_transfer as kx

# Keras computes Adam's correction of young moments in float32: to some 3e-5 of a step.
STEPS, ETA = 10, 0.01
RATES = [1.0, 0.5, 0.1]


def gradients():
    """Of three weights, fixed and not all of one sign."""
    random = np.random.default_rng(0)
    return [[random.normal(size=n) for n in (3, 2, 4)] for _ in range(STEPS)]


def start():
    random = np.random.default_rng(1)
    return [random.normal(size=n) for n in (3, 2, 4)]


def run(optimizer, steps=STEPS):
    """Ten updates by Keras; the weights, and the optimizer."""
    weights = [keras.Variable(value.astype("float32")) for value in start()]
    for step in gradients()[:steps]:
        optimizer.apply([g.astype("float32") for g in step], weights)
    return [weight.numpy() for weight in weights]


def reference(update, rates=RATES, *, decay=0.0, after=None, clip=None, learning_rate=None):
    """The same in float64: each update scaled by its rate; `update` holds its own state."""
    weights, first = start(), start()
    for step, grads in enumerate(gradients()):
        eta = ETA if learning_rate is None else learning_rate(step)
        if clip is not None:
            norm = np.sqrt(sum((g**2).sum() for g in grads))
            grads = [g * min(1, clip / norm) for g in grads]
        for i, gradient in enumerate(grads):
            weights[i] = weights[i] * (1 - eta * rates[i] * decay)
            weights[i] = weights[i] + rates[i] * update(i, gradient, eta)
            if after is not None:
                weights[i] = after(i, weights[i], first[i], eta * rates[i])
    return weights


def adam(ages=(0, 0, 0)):
    state = {i: [0.0, 0.0, age] for i, age in enumerate(ages)}

    def update(i, gradient, eta):
        m, v, t = state[i]
        m, v, t = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2, t + 1
        state[i] = [m, v, t]
        return -eta * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)

    return update


def sgd():
    state = {}

    def update(i, gradient, eta):
        state[i] = 0.9 * state.get(i, 0.0) - eta * gradient
        return state[i]

    return update


KERAS = {
    "adam": lambda **options: keras.optimizers.Adam(ETA, **options),
    "sgd": lambda **options: keras.optimizers.SGD(ETA, momentum=0.9, **options),
}
NUMPY = {"adam": adam, "sgd": sgd}
both = pytest.mark.parametrize("name", ["adam", "sgd"])


def close(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@both
def test_update_is_scaled(name):
    close(run(kx.LayerwiseOptimizer(KERAS[name](), RATES)), reference(NUMPY[name]()))


def test_scaled_gradients_would_do_nothing_under_adam():
    weights = [keras.Variable(value.astype("float32")) for value in start()]
    optimizer = KERAS["adam"]()
    for step in gradients():
        optimizer.apply(
            [(g * r).astype("float32") for g, r in zip(step, RATES, strict=True)], weights
        )
    unscaled = reference(adam(), rates=[1, 1, 1])
    np.testing.assert_allclose(weights[2].numpy(), unscaled[2], atol=1e-4)


@both
def test_decoupled_weight_decay_is_scaled_too(name):
    optimizer = kx.LayerwiseOptimizer(KERAS[name](weight_decay=0.3), RATES)
    close(run(optimizer), reference(NUMPY[name](), decay=0.3))
    assert optimizer.inner_optimizer.weight_decay == 0.3


@both
def test_norm_is_clipped_over_all_gradients(name):
    optimizer = kx.LayerwiseOptimizer(KERAS[name](global_clipnorm=0.7), RATES)
    close(run(optimizer), reference(NUMPY[name](), clip=0.7))


@both
@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_proximal_step_follows_each_update(name, norm):
    def step(i, weight, first, eta):
        first, strength = (0, 0.2) if i == 2 else (first, 0.6)
        moved = weight - first
        if norm == "l2":
            return first + moved / (1 + eta * strength)
        return first + np.sign(moved) * np.maximum(np.abs(moved) - eta * strength, 0)

    optimizer = kx.LayerwiseOptimizer(
        KERAS[name](), RATES, proximal=kx.Proximal(0.6, 0.2, norm=norm), in_head=[0, 0, 1]
    )
    close(run(optimizer), reference(NUMPY[name](), after=step))


def test_l1_step_leaves_weights_of_small_updates_exactly_at_their_start():
    optimizer = kx.LayerwiseOptimizer(
        keras.optimizers.SGD(1e-3), RATES, proximal=kx.Proximal(50.0, norm="l1"), in_head=[0] * 3
    )
    for found, first in zip(run(optimizer), start(), strict=True):
        np.testing.assert_array_equal(found, first.astype("float32"))


def test_moments_are_corrected_by_the_age_of_each_weight():
    optimizer = kx.LayerwiseOptimizer(KERAS["adam"](), RATES, ages=[0, 7, 100])
    close(run(optimizer), reference(adam(ages=(0, 7, 100))))
    assert int(optimizer.iterations) == STEPS


def test_schedule_gives_the_rate_that_is_scaled():
    schedule = keras.optimizers.schedules.PolynomialDecay(ETA, STEPS, 0.0)
    optimizer = kx.LayerwiseOptimizer(keras.optimizers.Adam(schedule), RATES)
    close(run(optimizer), reference(adam(), learning_rate=lambda step: ETA * (1 - step / STEPS)))


def test_moving_average_is_of_the_scaled_weights():
    optimizer = kx.LayerwiseOptimizer(
        keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), RATES
    )
    weights = [keras.Variable(value.astype("float32")) for value in start()]
    expected, average = start(), [0, 0, 0]
    for number, step in enumerate(gradients()):
        optimizer.apply([g.astype("float32") for g in step], weights)
        for i, gradient in enumerate(step):
            expected[i] = expected[i] - 0.1 * RATES[i] * gradient
            average[i] = expected[i] if number == 0 else (average[i] + expected[i]) / 2
    optimizer.finalize_variable_values(weights)
    close([weight.numpy() for weight in weights], average)


def test_gradients_are_accumulated():
    optimizer = kx.LayerwiseOptimizer(
        keras.optimizers.Adam(ETA, gradient_accumulation_steps=2), RATES, ages=[0, 3, 0]
    )
    update, weights = adam(ages=(0, 3, 0)), start()
    for one, two in zip(gradients()[::2], gradients()[1::2], strict=True):
        for i in range(3):
            weights[i] = weights[i] + RATES[i] * update(i, (one[i] + two[i]) / 2, ETA)
    close(run(optimizer), weights)


def test_loss_scaling_changes_nothing():
    inner = kx.LayerwiseOptimizer(KERAS["adam"](), RATES)
    scaled = keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0)
    weights = [keras.Variable(value.astype("float32")) for value in start()]
    for step in gradients():
        assert float(scaled.scale_loss(1.0)) == 64.0
        scaled.apply([(64 * g).astype("float32") for g in step], weights)
    close([weight.numpy() for weight in weights], reference(adam()))


def test_overflow_of_scaled_gradients_skips_the_update():
    inner = kx.LayerwiseOptimizer(KERAS["adam"](), RATES)
    scaled = keras.optimizers.LossScaleOptimizer(inner)
    weights = [keras.Variable(value.astype("float32")) for value in start()]
    scaled.apply([np.full_like(g, np.inf, "float32") for g in start()], weights)
    close([weight.numpy() for weight in weights], start())


@pytest.fixture
def model():
    """Two weights of a linear model, compiled with rates of 1 and 0.5."""
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    made.compile(kx.LayerwiseOptimizer(keras.optimizers.Adam(0.1), [1.0, 0.5]), "mse")
    return made


X, Y = np.ones([8, 3], "float32"), np.zeros([8, 1], "float32")


def test_callbacks_set_the_learning_rate(model):
    set_rate = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=100.0)
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[set_rate])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    before = [weight.numpy() for weight in model.weights]
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[plateau])
    assert history.history["learning_rate"] == pytest.approx([0.05, 0.05, 0.005])
    assert not np.array_equal(before[0], model.weights[0].numpy())


def test_averages_are_swapped_in_by_the_callback_of_keras():
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    inner = keras.optimizers.Adam(0.1, use_ema=True)
    made.compile(kx.LayerwiseOptimizer(inner, [1.0, 0.5]), "mse")
    for _ in range(3):  # `fit` would end with the averages
        made.train_on_batch(X, Y)
    swapped = made.evaluate(X, Y, verbose=0, callbacks=[keras.callbacks.SwapEMAWeights()])
    last = made.evaluate(X, Y, verbose=0)
    made.optimizer.finalize_variable_values(made.trainable_variables)
    assert swapped == pytest.approx(made.evaluate(X, Y, verbose=0))
    assert swapped != pytest.approx(last, rel=1e-3)


def test_proximal_step_is_the_same_under_loss_scaling():
    weights = []
    for wrap in (lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer):
        made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "linear", True, "ones")])
        inner = kx.LayerwiseOptimizer(
            keras.optimizers.SGD(0.01),
            [0.5, 1.0],
            proximal=kx.Proximal(2.0, 1.0),
            in_head=[False, True],
        )
        made.compile(wrap(inner), "mse")
        made.fit(X, Y, epochs=3, verbose=0)
        weights.append(made.get_weights())
    close(*weights)


def test_weights_that_do_not_decay_stay_out_of_it():
    inner = keras.optimizers.SGD(0.1, weight_decay=0.5)
    inner.exclude_from_weight_decay(var_names=["bias"])
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    made.layers[0].bias.assign([1.0])
    made.compile(kx.LayerwiseOptimizer(inner, [0.5, 0.5]), lambda y, y_pred: 0.0 * y_pred)
    kernel = made.layers[0].kernel.numpy()
    made.fit(X, Y, verbose=0)
    np.testing.assert_allclose(made.layers[0].kernel, kernel * (1 - 0.5 * 0.1 * 0.5), rtol=1e-6)
    np.testing.assert_array_equal(made.layers[0].bias, [1.0])


@pytest.mark.parametrize(
    ("inner", "ages"),
    [
        (keras.optimizers.Ftrl(), None),
        (keras.optimizers.Nadam(), [1]),
        (keras.optimizers.Adafactor(), [1]),
    ],
)
def test_optimizers_whose_update_cannot_be_scaled_are_refused(inner, ages):
    with pytest.raises(ValueError, match=f"AdamW or SGD. Received: {type(inner).__name__}"):
        kx.LayerwiseOptimizer(inner, [0.5], ages=ages)


def test_rates_of_other_weights_are_refused(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    kx.FineTuning(1).apply(model)
    optimizer = kx.layerwise(keras.optimizers.SGD(0.1), model, layer_decay=0.5)
    kx.FineTuning(first=1).apply(model)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="strategy first.*rates for 4 weights, not for these 4"):
        model.fit(tiny_data.train, verbose=0, shuffle=False)


def test_saved_and_loaded_it_trains_on_as_if_it_had_not_been(model, tmp_path):
    made = kx.LayerwiseOptimizer(
        keras.optimizers.Adam(0.1),
        [1.0, 0.5],
        ages=[0, 5],
        proximal=kx.Proximal(1.0),
        in_head=[False, True],
    )
    model.compile(made, "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config()["rates"] == [1.0, 0.5]
    for trained in (model, loaded):
        trained.fit(X, Y, epochs=2, verbose=0)
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


REPLICAS = """
import keras, numpy as np, tensorflow as tf
import keras_transfer as kx
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
def train(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
        # no clipping: Keras clips the gradients of each replica before it adds them
        inner = keras.optimizers.AdamW(0.05, weight_decay=0.1)
        optimizer = kx.LayerwiseOptimizer(
            inner, [0.1, 0.1, 1.0, 1.0], ages=[4, 4, 0, 0], proximal=kx.Proximal(0.5, 0.1),
            in_head=[False, False, True, True])
        model.compile(optimizer, "mse")
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, x.sum(1, keepdims=True))).batch(8)
    model.fit(data, epochs=3, verbose=0)
    return model.get_weights()
one = train(tf.distribute.get_strategy())
two = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
print(max(np.abs(a - b).max() for a, b in zip(one, two)))
"""


def test_two_replicas_do_what_one_does():
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < 1e-6


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"at least 0. Received: \[-1.0\]"):
        kx.LayerwiseOptimizer(keras.optimizers.SGD(), [-1.0])
    with pytest.raises(TypeError, match="goes around this optimizer"):
        kx.LayerwiseOptimizer(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), [1.0])
    with pytest.raises(TypeError, match="Received: 'sgd'"):
        kx.LayerwiseOptimizer("sgd", [1.0])
    with pytest.raises(ValueError, match="in_head"):
        kx.LayerwiseOptimizer(keras.optimizers.SGD(), [1.0], proximal=kx.Proximal(1.0))


def test_rates_for_other_weights_than_are_trained_are_refused(model):
    model.layers[0].bias.trainable = False
    with pytest.raises(ValueError, match="rates for 2 weights, not for these 1"):
        model.fit(X, Y, verbose=0)
