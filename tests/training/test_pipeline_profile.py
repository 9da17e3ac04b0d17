"""Speeds of the steps of training, and what measuring them leaves as it was."""

from __future__ import annotations

import random
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def profile(data, model, seconds=0.06, **options):
    return kx.profile_pipeline(data, model, seconds=seconds, **{"verbose": False, **options})


def slow(tensor):
    """The tensor, 20 ms later."""

    def wait(given):
        time.sleep(0.02)
        return given

    waited = tf.py_function(wait, [tensor], tensor.dtype)
    waited.set_shape(tensor.shape)
    return waited


class Slow(keras.layers.Dense):
    """A layer of one's own that takes its time."""

    def call(self, x):
        return slow(super().call(x))


def sequential(*layers):
    return keras.Sequential([keras.Input((6,)), *layers])


def numbers():
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, x[:, :3].argmax(1))).batch(16)


def snapshot(model):
    """All that training changes and that can be seen from outside."""
    holders = [*model.variables, *model.metrics_variables]
    if model.compiled:
        holders += model.optimizer.variables
    return {
        "values": [variable.numpy().tolist() for variable in holders],
        "paths": [variable.path for variable in holders],
        "flags": [holder.trainable for holder in [*model._flatten_layers(), *model.variables]],
        "attributes": {name: id(value) for name, value in vars(model).items()},
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),
        "tensorflow": tf.random.get_global_generator().state.numpy().tolist(),
    }


@pytest.mark.parametrize(
    ("strategy", "compiled", "steps"),
    [
        (kx.FeatureExtraction(), False, ["decode", "frozen part", "tail"]),
        (kx.FineTuning(2, batch_norm="trainable"), True, ["decode", "frozen part", "tail"]),
        (kx.FineTuning(batch_norm="trainable"), False, ["decode", "training step"]),
        (kx.FineTuning(batch_norm="trainable"), True, ["decode", "training step"]),
    ],
    ids=["head", "blocks", "all", "all, compiled"],
)
def test_training_goes_on_as_if_nothing_had_been_measured(
    tiny_backbone, tiny_data, strategy, compiled, steps
):
    model = kx.Classifier(tiny_backbone, 2, dropout=0.5)
    strategy.apply(model)
    if compiled:
        model.compile("adam", LOSS, metrics=["accuracy"], jit_compile=False)
        model.fit(tiny_data.train, epochs=1, verbose=0, shuffle=False)
    train_function = model.train_function
    before = snapshot(model)
    assert list(profile(tiny_data.train, model).examples_per_second) == steps
    after = snapshot(model)
    for name in before:
        assert after[name] == before[name], name
    assert model.compiled == compiled
    assert model.train_function is train_function


def test_the_order_of_a_shuffle_goes_on_as_if_nothing_had_been_measured():
    orders = []
    for measured in (False, True):
        data = numbers().unbatch().shuffle(40, seed=0).batch(16)
        model = sequential(keras.layers.Dense(3, name="logits"))
        epochs = [np.concatenate([y for _, y in data])]
        if measured:
            profile(data, model)
        orders.append([*epochs, *(np.concatenate([y for _, y in data]) for _ in range(2))])
    np.testing.assert_array_equal(*orders)


def test_slow_data_is_the_bottleneck():
    model = sequential(keras.layers.Dense(4, trainable=False), keras.layers.Dense(3, name="logits"))
    found = profile(numbers().map(lambda x, y: (slow(x), y)), model, seconds=0.3)
    assert found.bottleneck == "decode"
    assert found.with_cache == found.examples_per_second["decode"] < 16 / 0.02
    assert str(found).startswith("Decoding is the bottleneck: decoding gives ")
    assert "more cores" in str(found)


def test_a_slow_frozen_part_is_the_bottleneck(capsys):
    model = sequential(Slow(4, trainable=False), keras.layers.Dense(3, name="logits"))
    found = profile(numbers(), model, seconds=0.3, verbose=True)
    assert found.bottleneck == "frozen part"
    assert found.reason is None
    assert found.examples_per_second["frozen part"] < 16 / 0.02
    assert capsys.readouterr().out == f"{found}\n"


def test_a_slow_tail_is_the_bottleneck():
    model = sequential(keras.layers.Dense(4, trainable=False), Slow(3, name="logits"))
    model.compile("sgd", LOSS, jit_compile=False)  # XLA has no Python functions
    found = profile(numbers(), model, seconds=0.3)
    assert found.bottleneck == "tail"
    assert found.with_cache == found.examples_per_second["tail"]


@pytest.mark.parametrize(
    ("profile", "line"),
    [
        (
            kx.PipelineProfile({"decode": 1618.0, "frozen part": 546.6, "tail": 21042.0}, 21042.0),
            "The frozen part is the bottleneck: decoding gives 1620 pictures/s, the frozen part "
            "547, the tail 21000. kx.fine_tune runs it once for each picture; epochs then run at "
            "up to 21000, without decoding.",
        ),
        (
            kx.PipelineProfile({"decode": 99.96, "frozen part": 546.6, "tail": 21042.0}, 99.96),
            "Decoding is the bottleneck: decoding gives 100 pictures/s, the frozen part 547, the "
            "tail 21000. Smaller files or more cores would help. kx.fine_tune runs the frozen "
            "part once for each picture; epochs then run at up to 100.",
        ),
        (
            kx.PipelineProfile({"decode": 1618.0, "frozen part": 546.6, "tail": 87.3}, 87.3),
            "The tail is the bottleneck: decoding gives 1620 pictures/s, the frozen part 547, the "
            "tail 87. A larger batch or fewer blocks to train would help. kx.fine_tune runs the "
            "frozen part once for each picture; epochs then run at up to 87.",
        ),
        (
            kx.PipelineProfile({"decode": 1618.0, "training step": 0.25}, reason="There is none."),
            "The training step is the bottleneck: decoding gives 1620 pictures/s, the training "
            "step 0.25. A larger batch or fewer blocks to train would help. No frozen part to run "
            "once: There is none.",
        ),
    ],
    ids=lambda value: getattr(value, "bottleneck", ""),
)
def test_the_line_says_what_to_do(profile, line):
    assert str(profile) == line


def test_datasets_of_the_package_need_not_be_decoded_again(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    kx.FeatureExtraction().apply(model)
    slowed = tiny_data.train.map(lambda x, y: (slow(x), y))
    slowed.examples = tiny_data.train.examples
    found = profile(slowed, model, seconds=0.3)
    assert found.bottleneck == "decode"
    assert found.with_cache == found.examples_per_second["tail"]


def test_the_step_computes_the_loss_of_the_model_and_all_gradients():
    called, shapes = [], []

    def loss(y_true, y_pred):
        called.append(y_pred.shape)
        return keras.ops.mean((y_pred - keras.ops.expand_dims(y_true, 1)) ** 2, axis=-1)

    @tf.custom_gradient
    def watched(x):
        def backward(upstream):
            tf.py_function(lambda given: shapes.append(given.shape), [upstream], [])
            return upstream

        return tf.identity(x), backward

    layers = [keras.layers.Dense(4, trainable=False), keras.layers.Dense(5), keras.layers.Dense(1)]
    model = sequential(*layers[:2], keras.layers.Lambda(watched, output_shape=(5,)), layers[2])
    model.compile("adam", loss, jit_compile=False)
    found = profile(numbers(), model)
    assert list(found.examples_per_second) == ["decode", "frozen part", "tail"]
    assert called[0] == (16, 1)
    assert shapes[0] == (16, 5)


def test_weights_of_examples_and_several_inputs_and_outputs_will_do():
    one, other = keras.Input((6,), name="one"), keras.Input((6,), name="other")
    features = [keras.layers.Dense(4, trainable=False)(x) for x in (one, other)]
    outputs = {
        name: keras.layers.Dense(3, name=name)(keras.layers.add(features)) for name in ("a", "b")
    }
    trained = {"a": keras.layers.Dense(1, name="c")(outputs["a"]), "b": outputs["b"]}
    model = keras.Model({"one": one, "other": other}, trained)
    model.compile("adam", {"a": "mse", "b": LOSS}, loss_weights={"a": 0.5, "b": 1.0})
    data = numbers().map(lambda x, y: ({"one": x, "other": -x}, {"a": x[:, :1], "b": y}))
    assert len(profile(data, model).examples_per_second) == 3
    model = sequential(keras.layers.Dense(4, trainable=False), keras.layers.Dense(3))
    model.compile("adam", LOSS, run_eagerly=True)
    weighted = numbers().map(lambda x, y: (x, y, x[:, 0] ** 2))
    assert len(profile(weighted.repeat(), model).examples_per_second) == 3


def test_a_dataset_that_cannot_be_copied_is_read_with_a_warning():
    ones = iter(tf.data.Dataset.range(10**6))
    data = numbers().map(lambda x, y: (x + 0 * tf.cast(next(ones), "float32"), y))
    model = sequential(keras.layers.Dense(3, name="logits"))
    with pytest.warns(UserWarning, match="reads the dataset itself") as warned:
        profile(data, model)
    assert warned[0].filename == __file__


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.logits = keras.layers.Dense(3, name="logits")

    def call(self, x):
        return self.logits(x)


class OwnTraining(keras.Model):
    """Functional, so that a graph alone does not tell."""


def test_wrong_data_models_and_seconds_are_refused():
    model = sequential(keras.layers.Dense(3, name="logits"))
    with pytest.raises(ValueError, match=r"`data` to be a tf.data.Dataset .* Received: list"):
        profile([], model)
    with pytest.raises(ValueError, match=r"\(pictures, labels\).* Received: _Map\w+ of Tensor"):
        profile(numbers().map(lambda x, y: x), model)
    with pytest.raises(ValueError, match="at least one batch. Received: .*empty"):
        profile(numbers().take(0), model)
    for seconds in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"`seconds` above 0. Received: seconds={seconds}"):
            profile(numbers(), model, seconds=seconds)
    subclassed = Subclassed()
    subclassed(np.zeros([1, 6]))
    own = OwnTraining(model.inputs, model.outputs)
    for wrong in (keras.Sequential([keras.layers.Dense(3)]), subclassed, own):
        with pytest.raises(ValueError, match=f"Expected a built functional.*{wrong.name}"):
            profile(numbers(), wrong)
    with pytest.raises(ValueError, match="Expected a model made by kx.Classifier"):
        profile(numbers(), sequential(keras.layers.Dense(3, name="elsewhere")))


def test_an_error_or_interrupt_leaves_the_model_as_it_was():
    def interrupted(y_true, y_pred):
        raise KeyboardInterrupt

    model = sequential(keras.layers.Dropout(0.5), keras.layers.Dense(3))
    model.compile("adam", interrupted)
    before = snapshot(model)
    with pytest.raises(KeyboardInterrupt):
        profile(numbers(), model)
    assert snapshot(model) == before
