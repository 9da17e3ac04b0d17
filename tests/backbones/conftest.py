"""TF Hub modules, saved by TensorFlow itself."""

from __future__ import annotations

import pathlib

import keras
import pytest
import tensorflow as tf


def _save_module(network: keras.Model, folder: pathlib.Path, *, strength: float = 0.01) -> str:
    """A reusable SavedModel of TensorFlow 2, with a loss on its first kernel."""
    module = tf.train.Checkpoint()

    @tf.function
    def call(inputs, training=False):
        return network(inputs, training=training)

    spec = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype, x.name), network.input)
    for training in (False, True):
        call.get_concrete_function(spec, training=training)
    kernel = network.trainable_variables[0].value
    module.__call__ = call
    module.variables = [variable.value for variable in network.variables]
    module.trainable_variables = [variable.value for variable in network.trainable_variables]
    module.regularization_losses = [
        tf.function(lambda: strength * tf.reduce_sum(kernel**2), input_signature=[])
    ]
    tf.saved_model.save(module, str(folder))
    return str(folder)


@pytest.fixture
def save_module():
    """Saves a network as a reusable SavedModel of TensorFlow 2, and returns its folder."""
    return _save_module


@pytest.fixture
def network() -> keras.Model:
    """What the module is made of: pixels from 0 to 1 to four features."""
    pixels = keras.Input((32, 32, 3), name="inputs")
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(pixels)
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(x))
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(x))


@pytest.fixture
def module(network: keras.Model, tmp_path: pathlib.Path) -> str:
    """The folder of a module of TensorFlow 2."""
    return _save_module(network, tmp_path / "module")


@pytest.fixture
def tf1_module(tmp_path: pathlib.Path) -> str:
    """The folder of a module of TensorFlow 1: `2 * inputs + 1` with a variable."""
    v1 = tf.compat.v1
    folder = tmp_path / "tf1"
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder(tf.float32, [None, 3], "inputs")
        weight = v1.get_variable("weight", initializer=2.0, use_resource=True)
        outputs = tf.add(inputs * weight, 1.0, "outputs")
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"x": inputs}, {"default": outputs})
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return str(folder)
