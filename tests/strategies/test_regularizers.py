import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

BACKBONE, HEAD, RATE = 0.3, 0.2, 0.05


def small_model(policy="float32"):
    """x -> tanh(x w + b) -> h v + c; the first dense layer is the backbone."""
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    dense = keras.layers.Dense(4, activation="tanh", bias_initializer="random_normal")
    backbone = keras.Sequential([keras.Input([3]), dense], name="backbone")
    head = keras.layers.Dense(2, bias_initializer="random_normal", dtype="float32", name="values")
    return keras.Sequential([keras.Input([3]), backbone, head])


def examples():
    random = np.random.default_rng(0)
    return random.normal(size=(8, 3)).astype("float32"), random.normal(size=(8, 2))


def gradients(weights, start, x, y):
    """Of the mean squared error and the penalty, by hand."""
    w, b, v, c = weights
    h = np.tanh(x @ w + b)
    error = 2 * (h @ v + c - y) / y.size
    back = (error @ v.T) * (1 - h**2)
    plain = [x.T @ back, back.sum(0), h.T @ error, error.sum(0)]
    strengths = [BACKBONE, BACKBONE, HEAD, HEAD]
    pulls = [s * (p - p0) for s, p, p0 in zip(strengths, weights, start, strict=True)]
    return [g + pull for g, pull in zip(plain, pulls, strict=True)]


def reference(weights, start, optimizer, steps=10):
    x, y = (a.astype("float64") for a in examples())
    weights = [w.astype("float64") for w in weights]
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for step in range(1, steps + 1):
        for i, g in enumerate(gradients(weights, start, x, y)):
            if optimizer == "sgd":
                weights[i] = weights[i] - RATE * g
                continue
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            # Keras corrects the bias of the moments by float32 powers.
            m_share, v_share = (1 - float(np.float32(beta)) ** step for beta in (0.9, 0.999))
            scale = RATE * np.sqrt(v_share) / m_share
            weights[i] = weights[i] - scale * m[i] / (np.sqrt(v[i]) + 1e-7)
    return weights


def trained(model, optimizer):
    x, y = examples()
    model.compile(optimizer, "mse")
    model.fit(x, y, batch_size=8, epochs=10, verbose=0, shuffle=False)
    return model.get_weights()


@pytest.mark.parametrize("regularizer", [kx.L2SP(BACKBONE, HEAD), kx.L2(BACKBONE, HEAD)])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_ten_steps_equal_numpy(regularizer, name):
    model = small_model()
    weights = model.get_weights()
    start = [*weights[:2], 0, 0] if isinstance(regularizer, kx.L2SP) else [0, 0, 0, 0]
    regularizer.apply(model)
    optimizer = keras.optimizers.get({"class_name": name, "config": {"learning_rate": RATE}})
    for found, expected in zip(
        trained(model, optimizer), reference(weights, start, name), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_loss_scaling_changes_nothing():
    results = []
    for scaled in (False, True):
        model = small_model()
        kx.L2SP(BACKBONE, HEAD).apply(model)
        optimizer = keras.optimizers.SGD(RATE)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        results.append(trained(model, optimizer))
    for plain, scaled in zip(*results, strict=True):
        np.testing.assert_allclose(plain, scaled, rtol=0, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_penalty_is_computed_in_float32_under_any_policy(policy):
    model = small_model(policy)
    kx.L2SP(BACKBONE, HEAD).apply(model)
    model.set_weights([w + 1 for w in model.get_weights()])
    # start + 1 is rounded to bfloat16 where the variables are.
    moved = 16.0
    head = sum((w.astype("float64") ** 2).sum() for w in model.get_weights()[2:])
    losses = model.losses
    assert {loss.dtype for loss in losses} == {tf.float32}
    expected = BACKBONE / 2 * moved + HEAD / 2 * head
    np.testing.assert_allclose(sum(losses), expected, rtol=1e-6 if "mixed" in policy else 1e-2)
    assert np.isfinite(trained(model, keras.optimizers.SGD(0.01))[0].astype("float32")).all()


@pytest.mark.slow
def test_two_replicas_equal_one_device():
    code = f"""
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
def run(strategy):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        backbone = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, "tanh")])
        model = keras.Sequential([keras.Input([3]), backbone, keras.layers.Dense(2)])
        kx.L2SP({BACKBONE}, {HEAD}).apply(model)
        model.compile(keras.optimizers.Adam({RATE}), "mse", jit_compile=False)
    logs = model.fit(x, x[:, :2], batch_size=8, epochs=10, verbose=0, shuffle=False).history
    return np.concatenate([w.ravel() for w in model.get_weights()] + [logs["loss"]])
one = run(tf.distribute.get_strategy())
two = run(tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]))
print(np.abs(one - two).max())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < 1e-6


def penalty(model):
    return float(sum(model.losses))


def test_penalty_follows_the_trainable_flags_of_later_stages(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    regularizer = kx.L2SP(backbone=1.0, head=0.0)
    kx.FeatureExtraction().apply(model)
    regularizer.apply(model)
    assert model.losses == []
    kx.FineTuning(1).apply(model)
    assert len(model.losses) == 2  # kernel and bias of "third"
    kx.FineTuning(batch_norm="trainable").apply(model)
    assert len(model.losses) == 12  # three convolutions, and BatchNorm's scales and offsets
    assert penalty(model) == 0
    model.compile(
        keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(tiny_data.train, epochs=1, verbose=0, shuffle=False)
    assert penalty(model) > 0


def test_layers_inside_layers_count_and_statistics_do_not():
    inner = keras.layers.TimeDistributed(keras.layers.Dense(2, kernel_initializer="ones"))
    layers = [keras.Input([4, 3]), inner, keras.layers.BatchNormalization()]
    backbone = keras.Sequential(layers, name="backbone")
    model = keras.Sequential([keras.Input([4, 3]), backbone, keras.layers.Flatten()])
    kx.L2(backbone=1.0, head=0).apply(model)
    assert penalty(model) == pytest.approx((6 + 2) / 2)  # the kernel, and the scales


def test_start_values_stay_when_weights_are_restored():
    model = small_model()
    kx.L2SP(backbone=1.0, head=0).apply(model)
    model.set_weights([w + 1 for w in model.get_weights()])
    assert penalty(model) == pytest.approx(16 / 2)


def test_start_values_are_no_constants_of_the_graph():
    dense = keras.layers.Dense(300, activation="tanh")
    backbone = keras.Sequential([keras.Input([300]), dense])
    model = keras.Sequential([keras.Input([300]), backbone, keras.layers.Dense(2)])
    kx.L2SP().apply(model)
    graph = tf.function(lambda: sum(model.losses)).get_concrete_function().graph
    assert graph.as_graph_def().ByteSize() < 50_000


def test_regularizers_of_the_layers_stay_in_force_and_come_back():
    dense = keras.layers.Dense(2, kernel_initializer="ones", kernel_regularizer="l2")
    model = keras.Sequential([keras.Input([3]), dense])
    own = dense.kernel.regularizer
    assert penalty(model) == pytest.approx(0.06)
    kx.L2(head=0.5).apply(model)
    assert penalty(model) == pytest.approx(0.06 + 0.5 / 2 * 6)
    kx.L2SP().remove(model)
    assert dense.kernel.regularizer is own
    assert dense.bias.regularizer is None


def test_models_saved_meanwhile_load_without_the_penalty(tmp_path):
    model = small_model()
    config = model.get_config()
    kx.L2SP(BACKBONE, HEAD).apply(model)
    trained(model, keras.optimizers.SGD(RATE))
    assert model.get_config() == config
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.losses == []
    for saved, weight in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(saved, weight)
    assert len(loaded.weights) == len(model.weights) == 4


def test_compiled_models_take_and_lose_the_penalty_at_once():
    x, y = examples()
    model = small_model()
    model.compile(keras.optimizers.SGD(0.0), "mse")

    def losses():
        logs = model.fit(x, y, batch_size=8, verbose=0).history
        return [logs["loss"][0], model.evaluate(x, y, verbose=0)]

    plain = losses()
    kx.L2(BACKBONE, HEAD).apply(model)
    expected = plain + np.float32(penalty(model))
    assert penalty(model) > 0.1
    np.testing.assert_allclose(losses(), expected, rtol=1e-5)
    kx.L2().remove(model)
    np.testing.assert_allclose(losses(), plain, rtol=1e-5)


@pytest.mark.parametrize("regularizer", [kx.L2SP, kx.L2])
@pytest.mark.parametrize("settings", [{"backbone": -1}, {"head": float("nan")}, {"head": np.inf}])
def test_strengths_out_of_range_are_refused(regularizer, settings):
    [(name, value)] = settings.items()
    with pytest.raises(ValueError, match=f"`{name}` to be a finite.*Received: {name}={value}"):
        regularizer(**settings)


def test_models_that_are_not_built_or_pulled_already_are_refused():
    with pytest.raises(ValueError, match="Expected a built model.*'raw'"):
        kx.L2().apply(keras.Sequential([keras.layers.Dense(1)], name="raw"))
    model = small_model()
    kx.L2SP(head=0).apply(model)
    with pytest.raises(ValueError, match=r"`remove\(model\)` first"):
        kx.L2().apply(model)


@pytest.mark.parametrize("regularizer", [kx.L2SP(1, 2), kx.L2(head=3)])
def test_config_makes_the_same_regularizer(regularizer):
    config = regularizer.get_config()
    assert type(regularizer)(**config).get_config() == config
