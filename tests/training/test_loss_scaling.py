"""A gradient that overflows on one of two replicas; on two logical processors."""

import functools
import json
import subprocess
import sys

import keras
import pytest

from keras_transfer.training.loss_scaling import check_all_replicas

CODE = """
import json, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # is not needed here
import keras_transfer as kx
compute = kx.compute_strategy(["CPU:0", "CPU:1"], precision="mixed_float16")
x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")

def model():
    with compute.scope():
        keras.utils.set_random_seed(0)
        inputs = keras.Input([4])
        hidden = keras.layers.Dense(3)(inputs)
        made = keras.Model(inputs, keras.layers.Dense(1, dtype="float32", name="values")(hidden))
        made.compile(keras.optimizers.SGD(1e-3), "mse")
    return made

class Scales(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        kept = self.model.optimizer.dynamic_scale.value.values
        self.found = [float(scale) for scale in kept]

def train(overflowing, fit):
    y = np.zeros([8, 1], "float32")
    y[4 * overflowing : 4 * overflowing + 4] = 1e6
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    made, scales = model(), Scales()
    before = made.get_weights()
    fit(made, batches, callbacks=[scales], verbose=0)
    after = made.get_weights()
    same = all((a == b).all() for a, b in zip(after, before))
    return [all(np.isfinite(w).all() for w in after), same, scales.found]

def fine_tune(made, batches, **options):
    everything = kx.FineTuning()
    optimizer = keras.optimizers.SGD()
    kx.fine_tune(made, batches, strategy=everything, epochs=1, optimizer=optimizer, **options)

plain = lambda made, batches, **options: made.fit(batches, **options)
print(json.dumps([train(1, plain), train(0, fine_tune), train(1, fine_tune)]))
"""


@functools.cache
def found():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_keras_asks_the_first_replica_alone():
    """Where this fails, Keras has changed, and `check_all_replicas` may go."""
    assert found()[0] == [False, False, [2.0**15] * 2]


@pytest.mark.parametrize("overflowing", [0, 1])
def test_what_overflows_on_any_replica_reaches_no_weight(overflowing):
    finite, same, scales = found()[1 + overflowing]
    assert finite
    assert same
    assert scales == [2.0**14] * 2


def test_on_one_device_keras_stays_as_it_is():
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), "mse")
    check_all_replicas(model)
    assert "check_finite" not in vars(model.optimizer)
