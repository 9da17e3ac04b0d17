"""Two replicas are one device on the batches of both; every method of the conformance suite."""

import functools
import importlib.util
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.adaptation.replicas import gathered, num_replicas

ROWS = pathlib.Path(__file__).parent / "methods" / "test_conformance.py"

# Every method from the same weights, first on one device and then on two.
SETUP = """
import importlib.util, json, keras, numpy as np, sys, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # is not needed here
import keras_transfer as kx
one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
assert two.num_replicas_in_sync == 2
# Of the last batches replicas have 3 and 2 rows, 2 and 1. Of the first they must have as many for
# Keras, which adds them up to build a model.
random = np.random.default_rng(0)
x, y = random.normal(size=(13, 5)).astype("float32"), random.integers(0, 3, 13)
z = random.normal(0.7, 1.3, size=(9, 5)).astype("float32")
w, v = (random.uniform(0.2, 2, n).astype("float32") for n in (13, 9))
y[10:], known = [0, 1, 1], np.array([0, -1, 1, 2, 0, 1, 0, -1, 1])
def make():
    keras.utils.set_random_seed(1)
    body = keras.Sequential([keras.Input([5]), keras.layers.Dense(6, activation="tanh")])
    model = kx.Classifier(body, 3)
    model.layers[-1].kernel.assign(np.random.default_rng(1).normal(size=(6, 3)))
    return model
def data(labels):
    source = tf.data.Dataset.from_tensor_slices((x, y, w)).batch(8)
    target = tf.data.Dataset.from_tensor_slices((z, known, v)).batch(6)
    return kx.pair_domains(source, target, target_labels="train" if labels else "ignore")
def train(strategy, method, **options):
    with strategy.scope():
        adapted = kx.DomainAdaptation(make(), method(), schedule="constant", **options)
        # Of a mean, Keras takes that over replicas, which is another where they have other rows.
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
        adapted.compile(keras.optimizers.SGD(0.02), loss, jit_compile=False)
    labels = adapted.method.needs_target_labels
    return adapted, adapted.fit(data(labels), epochs=1, verbose=0).history
said = []
"""

EVERY_METHOD = """
spec = importlib.util.spec_from_file_location("rows", sys.argv[1])
rows = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rows)
every = rows.METHODS | {
    "moving": lambda: kx.MaximumMeanDiscrepancy(momentum=0.5),
    "linear": lambda: kx.MaximumMeanDiscrepancy(estimator="linear"),
}
found = {}
for name in sys.argv[2:]:
    method = every[name]
    (alone, logs), (together, others) = (train(on, method, weight=2.0) for on in (one, two))
    weights = [np.abs(a.numpy() - b.numpy()).max() for a, b in zip(alone.weights, together.weights)]
    start = [np.abs(a.numpy() - b).max() for a, b in zip(alone.model.weights, make().get_weights())]
    found[name] = {
        "weights": float(max(weights)),
        "moved": float(min(start)),
        "terms": [logs["adaptation_loss"], others["adaptation_loss"]],
    }
said.append(found)
"""


BATCH_NORM = """
def normalized():
    # Else Keras keeps for each replica what that has seen.
    norm = keras.layers.BatchNormalization(momentum=0.5, synchronized=True)
    return kx.Classifier(keras.Sequential([keras.Input([5]), norm]), 3)
found = {}
for normalization in ("joint", "per_domain"):
    with two.scope():
        adapted = kx.DomainAdaptation(normalized(), kx.DeepCoral(), normalization=normalization)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        adapted.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    pairs = kx.pair_domains(
        tf.data.Dataset.from_tensors((x[:8], y[:8])), tf.data.Dataset.from_tensors(z[:6])
    )
    adapted.fit(pairs, verbose=0)
    statistics = adapted.model.layers[1].layers[0].moving_mean
    with adapted.as_source():
        of_source = statistics.numpy().tolist()
    found[normalization] = [of_source, statistics.numpy().tolist()]
said.append([found, x[:8].tolist(), z[:6].tolist()])
"""

OUTSIDE = """
with two.scope():
    model = make()
adapted = kx.DomainAdaptation(model, kx.DeepCoral())
said.append(adapted.distribute_strategy.num_replicas_in_sync)
"""


def run(*codes, arguments=()):
    """What each of them says, in one process, as it takes seconds until TensorFlow is there."""
    code = "".join((SETUP, *codes, "print(json.dumps(said))"))
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def names():
    spec = importlib.util.spec_from_file_location("rows", ROWS)
    rows = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rows)
    return [*rows.METHODS, *MORE]


@functools.cache
def quick():
    return run(EVERY_METHOD, BATCH_NORM, OUTSIDE, arguments=[str(ROWS), *QUICK])


@functools.cache
def others():
    [found] = run(EVERY_METHOD, arguments=[str(ROWS), *OTHERS])
    return found


# Labels of the target, weights that are trained.
QUICK = ("contrastive", "domain adversarial")
MORE = ("moving", "linear")
OTHERS = tuple(name for name in names() if name not in QUICK)


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_two_replicas_train_as_one_device_does(name):
    found = (quick()[0] if name in QUICK else others())[name]
    assert found["weights"] < 1e-6
    assert found["moved"] > 1e-3
    np.testing.assert_allclose(*found["terms"], rtol=1e-5, atol=1e-6)
    assert np.abs(found["terms"]).min() > 1e-6


EVEN = """
found = []
for strategy in (one, two):
    with strategy.scope():
        model = make()
        kx.L2(0.1, 0.1).apply(model)
        adapted = kx.DomainAdaptation(model, kx.JointMMD(), weight=2.0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        adapted.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"], jit_compile=False)
    pairs = kx.pair_domains(
        tf.data.Dataset.from_tensor_slices((x[:12], y[:12], w[:12])).batch(4),
        tf.data.Dataset.from_tensor_slices(z[:6]).batch(2),
    )
    logs = adapted.fit(pairs, epochs=2, validation_data=pairs, verbose=0).history
    found.append(logs | {str(i): w.numpy().tolist() for i, w in enumerate(adapted.weights)})
said.append(found)
"""


@pytest.mark.slow
def test_two_replicas_log_what_one_device_does_with_penalties_and_schedule():
    [[alone, together]] = run(EVEN)
    assert {"val_adaptation_loss", "task_loss", "val_loss", "accuracy"} < alone.keys()
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        np.testing.assert_allclose(together[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


HALF = """
keras.config.set_dtype_policy("mixed_float16")
adapted, logs = train(two, kx.MaximumMeanDiscrepancy)
assert isinstance(adapted.optimizer, keras.optimizers.LossScaleOptimizer)
said.append([logs[name][0] for name in ("loss", "task_loss", "adaptation_loss")])
"""


@pytest.mark.slow
def test_two_replicas_train_in_half_precision_with_scaled_losses():
    [[loss, task, term]] = run(HALF)
    assert np.isfinite([loss, task, term]).all()
    assert loss == pytest.approx(task + term, rel=1e-3)
    assert abs(term) > 1e-3


def test_synchronized_statistics_are_those_of_all_replicas():
    found, x, z = quick()[1]
    of_source, of_target = np.mean(x, 0) / 2, np.mean(z, 0) / 2
    np.testing.assert_allclose(found["per_domain"], [of_source, of_target], atol=1e-6)
    both = (8 * of_source + 6 * of_target) / 14
    np.testing.assert_allclose(found["joint"], [both, both], atol=1e-6)


def test_strategy_is_that_of_the_model():
    assert quick()[2] == 2


def test_outside_of_a_strategy_batches_stay_as_they_are():
    batch = {"features": tf.ones([2, 3]), "training": True}
    assert num_replicas() == 1
    assert gathered([batch])[0] is batch
