import subprocess
import sys
import textwrap
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.discrepancies.mmd import mmd

RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(size=(7, 3)).astype("float32")
TARGET = RANDOM.normal(0.7, 1.3, size=(5, 3)).astype("float32")
WEIGHTS = (RANDOM.uniform(0.2, 3.0, 7), RANDOM.uniform(0.2, 3.0, 5))


def mean_bandwidth(x, y):
    pooled = np.concatenate([x, y]).astype("float64")
    squared = ((pooled[:, None] - pooled[None]) ** 2).sum(axis=-1)
    return squared.sum() / (len(pooled) * (len(pooled) - 1))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kernels": 3, "bandwidth": "median", "estimator": "linear"},
        {"bandwidth": 2.0, "estimator": "biased", "kernel": "laplacian"},
        {"kernel": "energy"},
    ],
)
def test_the_layer_is_the_function(settings):
    value = kx.MaximumMeanDiscrepancy(**settings)(SOURCE, TARGET, *WEIGHTS)
    assert value.dtype == tf.float32
    assert value.shape == ()
    np.testing.assert_array_equal(value, mmd(SOURCE, TARGET, *WEIGHTS, **settings))


def test_one_kernel_is_the_exponential_of_the_squared_distance_over_the_bandwidth():
    layer = kx.MaximumMeanDiscrepancy(kernels=1, bandwidth=3.0, estimator="biased")
    value = layer(np.array([[0.0, 0.0]]), np.array([[1.0, 2.0]]))
    np.testing.assert_allclose(value, 2 - 2 * np.exp(-5 / 3), atol=1e-6)


def test_config_makes_the_same_layer():
    layer = kx.MaximumMeanDiscrepancy(
        3, "median", "biased", kernel="laplacian", momentum=0.5, name="mine"
    )
    same = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert same.get_config() == layer.get_config()
    assert same.name == "mine"
    np.testing.assert_array_equal(same(SOURCE, TARGET), layer(SOURCE, TARGET))


def test_it_computes_in_float32_under_a_policy_of_float16():
    keras.config.set_dtype_policy("mixed_float16")
    layer = kx.MaximumMeanDiscrepancy(momentum=0.9)
    # Squared norms beyond what float16 holds.
    halves = [tf.constant(100 * each, tf.float16) for each in (SOURCE, TARGET)]
    value = layer(*halves, training=True)
    assert value.dtype == tf.float32
    assert layer.moving_bandwidth.dtype == "float32"
    wanted = mmd(*(tf.cast(each, tf.float32) for each in halves))
    np.testing.assert_allclose(value, wanted, atol=1e-6)


def test_the_bandwidth_moves_in_training_alone():
    layer = kx.MaximumMeanDiscrepancy(momentum=0.75)
    own = mean_bandwidth(SOURCE, TARGET)
    unmoved = layer(SOURCE, TARGET)  # without a past: the batch's own
    assert float(layer.moving_bandwidth) == 0
    np.testing.assert_allclose(unmoved, mmd(SOURCE, TARGET, bandwidth=own), atol=1e-6)
    layer(SOURCE, TARGET, training=True)
    np.testing.assert_allclose(layer.moving_bandwidth, own, rtol=1e-6)
    other = 0.75 * own + 0.25 * mean_bandwidth(3 * SOURCE, TARGET)
    value = layer(3 * SOURCE, TARGET, training=True)
    np.testing.assert_allclose(layer.moving_bandwidth, other, rtol=1e-6)
    np.testing.assert_allclose(value, mmd(3 * SOURCE, TARGET, bandwidth=other), atol=1e-6)
    value = layer(SOURCE, TARGET, training=False)
    np.testing.assert_allclose(layer.moving_bandwidth, other, rtol=1e-6)
    np.testing.assert_allclose(value, mmd(SOURCE, TARGET, bandwidth=other), atol=1e-6)


def test_the_bandwidth_is_a_weight_that_is_not_trained():
    layer = kx.MaximumMeanDiscrepancy(momentum=0.9)
    assert [weight.name for weight in layer.non_trainable_weights] == ["moving_bandwidth"]
    assert not layer.trainable_weights
    assert not kx.MaximumMeanDiscrepancy().weights


def test_batches_of_nothing_do_not_move_the_bandwidth():
    layer = kx.MaximumMeanDiscrepancy(momentum=0.5)
    layer(SOURCE, TARGET, training=True)
    before = float(layer.moving_bandwidth)
    assert np.isnan(layer(SOURCE * np.nan, TARGET, training=True))
    ones = np.ones([4, 3], "float32")
    # Not switched off: the past says what is far.
    np.testing.assert_allclose(layer(ones, 0 * ones + 1, training=True), 0, atol=1e-6)
    assert float(layer.moving_bandwidth) == before


@pytest.mark.parametrize("suffix", ["keras", "weights.h5"])
def test_the_moving_bandwidth_is_saved_and_restored(suffix, tmp_path):
    def make():
        inputs = [keras.Input([3]), keras.Input([3])]
        return keras.Model(inputs, kx.MaximumMeanDiscrepancy(momentum=0.9, name="mmd")(*inputs))

    model = make()
    model([SOURCE, TARGET], training=True)
    bandwidth = float(model.get_layer("mmd").moving_bandwidth)
    assert bandwidth > 0
    path = tmp_path / f"model.{suffix}"
    if suffix == "keras":
        model.save(path)
        restored = keras.saving.load_model(path)
    else:
        model.save_weights(path)
        restored = make()
        restored.load_weights(path)
    assert float(restored.get_layer("mmd").moving_bandwidth) == bandwidth
    np.testing.assert_array_equal(restored([2 * SOURCE, TARGET]), model([2 * SOURCE, TARGET]))


@pytest.mark.parametrize("estimator", ["unbiased", "biased", "linear"])
@pytest.mark.parametrize("bandwidth", ["mean", "median"])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e4])
def test_constant_features_give_zero_and_a_warning(estimator, bandwidth, value):
    layer = kx.MaximumMeanDiscrepancy(bandwidth=bandwidth, estimator=estimator)
    features = [tf.Variable(tf.fill([number, 3], value)) for number in (6, 4)]
    features[0].assign(features[0] * (1 + 1e-7))  # the last bit
    with tf.GradientTape() as tape, pytest.warns(UserWarning, match="switched off for a batch"):
        found = layer(*features)
    np.testing.assert_allclose(found, 0, atol=1e-6)
    assert not any(each.numpy().any() for each in tape.gradient(found, features))


def test_features_that_differ_a_little_are_not_taken_for_constant():
    layer = kx.MaximumMeanDiscrepancy()
    found = layer(1 + 1e-4 * SOURCE, 1 + 1e-4 * TARGET)
    np.testing.assert_allclose(found, layer(SOURCE, TARGET), atol=1e-2)


def test_a_graph_prints_the_warning_and_xla_goes_without(capfd):
    ones = tf.ones([4, 3])
    layer = kx.MaximumMeanDiscrepancy(name="mine")
    assert float(tf.function(layer)(ones, ones)) == pytest.approx(0, abs=1e-6)
    assert "Warning: mine is switched off" in capfd.readouterr().err
    tf.function(layer)(SOURCE, TARGET)
    assert "switched off" not in capfd.readouterr().err
    layer.supports_jit = True
    compiled = tf.function(layer, jit_compile=True)
    np.testing.assert_allclose(compiled(SOURCE, TARGET), layer(SOURCE, TARGET), atol=1e-6)


def test_settings_out_of_range_are_refused():
    for settings, message in (
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"momentum": -0.1}, "momentum=-0.1"),
        ({"momentum": 0.9, "bandwidth": 2.0}, "numbers do not move.*bandwidth=2.0"),
        ({"kernels": 2.5}, "Received: 2.5"),
        ({"estimator": "mean"}, "Received: 'mean'"),
    ):
        with pytest.raises(ValueError, match=message):
            kx.MaximumMeanDiscrepancy(**settings)
    with pytest.raises(ValueError, match="one width"):
        kx.MaximumMeanDiscrepancy()(SOURCE, TARGET[:, :2])


def test_a_single_example_warns_where_that_is_known():
    layer = kx.MaximumMeanDiscrepancy()
    with pytest.warns(UserWarning, match="at least 2 examples.*1 of the source, 5 of the target"):
        assert float(layer(SOURCE[:1], TARGET)) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(layer(SOURCE, TARGET, np.arange(7) == 0)) == 0


REPLICAS = """
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
with strategy.scope():
    layer = kx.MaximumMeanDiscrepancy(momentum=0.5)
@tf.function
def step():
    def one():
        scale = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32)
        features = tf.constant([[0.0], [1.0]]) * (1 + scale)
        return layer(features, features + 1, training=True)
    return strategy.run(one)
step()
print(float(tf.convert_to_tensor(layer.moving_bandwidth.value)))
"""


@pytest.mark.slow
def test_replicas_agree_on_the_mean_of_their_bandwidths():
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(REPLICAS)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-1000:]
    both = []
    for scale in (1, 2):
        features = scale * np.array([[0.0], [1.0]])
        both.append(mean_bandwidth(features, features + 1))
    assert float(run.stdout.split()[-1]) == pytest.approx(np.mean(both), rel=1e-6)
