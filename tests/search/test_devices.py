import json
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json, sys
import keras, keras_tuner, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
from keras_transfer.training import compute_strategy
folder, policy = sys.argv[1:]
random = np.random.default_rng(0)
labels = np.arange(40) % 2
pixels = random.integers(0, 200, (40, 8, 8, 3)) + 50 * labels[:, None, None, None]
data = kx.arrays(pixels.astype("uint8"), labels, validation_split=0.2, batch_size=8, seed=0)

def backbone():
    pixels = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3, name="one")(keras.layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, keras.layers.Conv2D(4, 3, name="two")(keras.layers.ReLU()(y)))

def search(name, devices):
    compute_strategy._gpus = lambda: devices  # as if these were GPUs
    compute_strategy._policy = lambda names: policy
    strategies = ["probe_then_tune", "feature_extraction"][: 1 if policy == "float32" else 2]
    space = kx.TransferHyperModel(
        2, backbones=[backbone], strategies=strategies, input_shape=(8, 8, 3)
    )
    oracle = keras_tuner.oracles.GridSearchOracle("val_loss", max_trials=2, seed=1)  # 0 is random
    for parameter, value in {
        "depths": 1, "hidden": 0, "dropout": 0.0, "learning_rate": 0.01, "schedule": "cosine",
        "label_smoothing": 0.0, "layer_decay": 0.9, "l2_sp": 0.0}.items():
        oracle.hyperparameters.Fixed(parameter, value)
    tuner = kx.TransferTuner(space, oracle=oracle, directory=folder, project_name=name)
    tuner.search(data.train, validation_data=data.validation, epochs=2, verbose=0)
    best = tuner.get_best_models(2)
    replicas = {x.distribute_strategy.num_replicas_in_sync for x in best}
    losses = [x.evaluate(data.validation, verbose=0, return_dict=True)["loss"] for x in best]
    policies = {y.dtype_policy.name for x in best for y in x.layers if y.name != "logits"}
    scores = {x.trial_id: x.score for x in tuner.finished_trials()}
    return {"replicas": [*replicas], "scores": scores, "losses": losses, "policies": [*policies]}

names = ["CPU:0", "CPU:1"]
print(json.dumps([search("two", names), search("one", names[:1]) if policy == "float32" else None]))
"""


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [("float32", 1e-4), pytest.param("mixed_float16", 3e-2, marks=pytest.mark.slow)],
)
def test_two_devices_find_what_one_does(tmp_path, policy, tolerance):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), policy]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    two, one = json.loads(done.stdout.splitlines()[-1])
    assert two["replicas"] == [2]
    assert two["policies"] == [policy]
    np.testing.assert_allclose(two["losses"], sorted(two["scores"].values()), rtol=tolerance)
    if one is not None:
        assert one["replicas"] == [1]
        assert one["scores"] == pytest.approx(two["scores"], rel=tolerance)
