import keras
import pytest
import tensorflow as tf

import keras_transfer as kx


def test_a_processor_computes_in_float32_by_itself():
    found = kx.compute_strategy()
    assert found == kx.ComputeStrategy(None, "float32")


@pytest.mark.parametrize(
    ("capability", "policy"),
    [
        ((6, 1), "float32"),
        ((7, 0), "mixed_float16"),
        ((7, 5), "mixed_float16"),
        ((8, 0), "mixed_bfloat16"),
        ((9, 0), "mixed_bfloat16"),
    ],
)
def test_the_precision_is_that_of_the_least_able_gpu(monkeypatch, capability, policy):
    details = {"old": {"compute_capability": capability}, "new": {"compute_capability": (9, 0)}}
    device = tf.config.LogicalDevice("/device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: [device])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: list(details))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.get)
    assert kx.compute_strategy() == kx.ComputeStrategy(None, policy)
    assert kx.compute_strategy(["GPU:0"]).dtype_policy == policy
    assert kx.compute_strategy(precision="float32").dtype_policy == "float32"


def test_several_gpus_share_each_batch(monkeypatch):
    devices = [tf.config.LogicalDevice(f"/device:GPU:{number}", "GPU") for number in range(3)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: devices)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: devices)
    capable = {"compute_capability": (7, 5)}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: capable)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", list)
    found = kx.compute_strategy()
    assert found == kx.ComputeStrategy(["GPU:0", "GPU:1", "GPU:2"], "mixed_float16")
    assert kx.compute_strategy(["GPU:1", "GPU:2"]).distribution == ["GPU:1", "GPU:2"]
    assert kx.compute_strategy(["GPU:1"]).distribution is None


def test_within_its_scope_models_have_the_precision():
    strategy = kx.compute_strategy(["CPU:0"], precision="mixed_bfloat16")
    with strategy.scope():
        assert keras.layers.Dense(2).compute_dtype == "bfloat16"
        keras.backend.clear_session()  # forgets it
        with strategy.precision():
            assert keras.layers.Dense(2).compute_dtype == "bfloat16"
    assert keras.layers.Dense(2).compute_dtype == "float32"


@pytest.mark.parametrize("devices", [["GPU:7"], [], "GPU:0"])
def test_devices_that_are_not_there_are_refused(devices):
    with pytest.raises(ValueError, match="CPU:0.*Received"):
        kx.compute_strategy(devices)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="mixed_float16.*Received: 'float16'"):
        kx.compute_strategy(precision="float16")
