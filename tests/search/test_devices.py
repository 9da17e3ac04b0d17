import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import keras, keras_tuner, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
from keras_transfer.training import compute_strategy
folder, policy, strategies = sys.argv[1:]
random = np.random.default_rng(0)
labels = np.arange(40) % 2
pixels = random.integers(0, 200, (40, 8, 8, 3)) + 50 * labels[:, None, None, None]
data = kx.arrays(pixels.astype("uint8"), labels, validation_split=0.2, batch_size=8, seed=0)

def backbone():
    pixels = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3, name="one")(keras.layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, keras.layers.Conv2D(4, 3, name="two")(keras.layers.ReLU()(y)))

def build(hp):
    inner = backbone()
    inner.trainable = False
    outputs = keras.layers.Dense(2, name="logits", dtype="float32")
    model = keras.Sequential([inner, keras.layers.Flatten(), outputs])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(hp.Choice("rate", [0.01, 0.1])), loss)
    return model

def space_and_oracle():
    oracle = keras_tuner.oracles.GridSearchOracle("val_loss", max_trials=2, seed=1)  # 0 is random
    if strategies == "none":
        return build, oracle
    for parameter, value in {
        "depths": 1, "hidden": 0, "dropout": 0.0, "learning_rate": 0.01, "schedule": "cosine",
        "label_smoothing": 0.0, "layer_decay": 0.9, "l2_sp": 0.0}.items():
        oracle.hyperparameters.Fixed(parameter, value)
    return kx.TransferHyperModel(
        2, backbones=[backbone], strategies=strategies.split(), input_shape=(8, 8, 3)
    ), oracle

def search(name, devices):
    compute_strategy._gpus = lambda: devices  # as if these were GPUs
    compute_strategy._policy = lambda names: policy
    space, oracle = space_and_oracle()
    tuner = kx.TransferTuner(space, oracle=oracle, directory=folder, project_name=name)
    tuner.search(data.train, validation_data=data.validation, epochs=2, verbose=0)
    best = tuner.get_best_models(1)
    replicas = {x.distribute_strategy.num_replicas_in_sync for x in best}
    losses = [x.evaluate(data.validation, verbose=0, return_dict=True)["loss"] for x in best]
    policies = {y.dtype_policy.name for x in best for y in x.layers if y.name != "logits"}
    scores = {x.trial_id: x.score for x in tuner.finished_trials()}
    return {"replicas": [*replicas], "scores": scores, "losses": losses, "policies": [*policies]}

names = ["CPU:0", "CPU:1"]
print(json.dumps([search("two", names), search("one", names[:1]) if policy == "float32" else None]))
"""


SLOW = "feature_extraction probe_then_tune"


@pytest.mark.parametrize(
    ("policy", "strategies", "tolerance"),
    [
        pytest.param("float32", "none", 1e-4, marks=pytest.mark.slow),
        pytest.param("float32", SLOW, 1e-4, marks=pytest.mark.slow),
        pytest.param("mixed_float16", SLOW, 3e-2, marks=pytest.mark.slow),
    ],
)
def test_two_devices_find_what_one_does(tmp_path, policy, strategies, tolerance):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), policy, strategies]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    two, one = json.loads(done.stdout.splitlines()[-1])
    assert two["replicas"] == [2]
    assert two["policies"] == [policy]
    assert two["losses"] == pytest.approx([min(two["scores"].values())], rel=tolerance)
    if one is not None:
        assert one["replicas"] == [1]
        assert one["scores"] == pytest.approx(two["scores"], rel=tolerance)
