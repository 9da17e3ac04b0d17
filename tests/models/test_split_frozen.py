"""The frozen beginning of a model and the rest, at any cut."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

SIZE = (32, 32)


def pictures(shape=(4, *SIZE, 3)):
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def assert_same(model, x):
    """The parts give what the model gives, and train its weights in its order."""
    frozen_part, tail = kx.split_frozen(model)
    expected = keras.tree.flatten(model(x, training=False))
    got = keras.tree.flatten(tail(frozen_part(x, training=False), training=False))
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert not any(weight.trainable for weight in frozen_part.weights)
    ids = [[id(w) for w in m.trainable_variables] for m in (model, tail)]
    assert ids[0] == ids[1]
    return frozen_part, tail


@pytest.mark.parametrize(
    ("strategy", "shape"),
    [
        (kx.FeatureExtraction(), (None, 6)),
        (kx.FineTuning(1), (None, 16, 16, 6)),
        (kx.FineTuning(2), (None, 16, 16, 4)),
    ],
    ids=str,
)
def test_a_nested_backbone_is_cut_where_its_frozen_part_ends(tiny_backbone, strategy, shape):
    model = kx.Classifier(tiny_backbone, 2)
    strategy.apply(model)
    frozen_part, _ = assert_same(model, pictures())
    assert frozen_part.output_shape == shape


@pytest.mark.parametrize("fusion", ["concat", "attention"])
def test_several_tensors_go_through_the_cut(tiny_backbone, fusion):
    model = kx.Classifier(tiny_backbone, 2, depths=3, fusion=fusion)
    kx.FineTuning(1).apply(model)
    frozen_part, tail = assert_same(model, pictures())
    assert len(frozen_part.outputs) == len(tail.inputs) > 1


def test_a_flat_model_is_cut(tiny_backbone):
    pooled = keras.layers.GlobalMaxPooling2D()(tiny_backbone.output)
    model = keras.Model(tiny_backbone.input, keras.layers.Dense(2, name="logits")(pooled))
    for layer in model.layers[:-1]:
        layer.trainable = False
    assert_same(model, pictures())


def test_sequential_models_are_cut_also_inside_one_another():
    inner = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            keras.layers.Conv2D(4, 3, name="first"),
            keras.layers.Conv2D(4, 3, name="second"),
        ]
    )
    middle = keras.Sequential([keras.Input((*SIZE, 3)), keras.layers.Rescaling(1 / 255), inner])
    model = keras.Sequential(
        [keras.Input((*SIZE, 3)), middle, keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    inner.get_layer("first").trainable = False
    frozen_part, _ = assert_same(model, pictures())
    assert frozen_part.output_shape == (None, 30, 30, 4)


def test_weights_that_move_inside_a_layer_whose_flag_is_off_are_trained(tiny_backbone):
    """Keras trains them: it goes by the flags of weights."""
    model = kx.Classifier(tiny_backbone, 2)
    tiny_backbone.trainable = False
    tiny_backbone.get_layer("third").trainable = True
    frozen_part, _ = assert_same(model, pictures())
    assert "third" not in [layer.name for layer in frozen_part.layers]


def test_dicts_of_inputs_and_outputs_stay_dicts():
    one, other = keras.Input((3,), name="one"), keras.Input((3,), name="other")
    frozen = keras.layers.Dense(4, trainable=False)(keras.layers.Concatenate()([one, other]))
    outputs = {"a": keras.layers.Dense(2)(frozen), "b": keras.layers.Dense(1)(frozen)}
    model = keras.Model({"one": one, "other": other}, outputs)
    x = {"one": pictures((4, 3)), "other": pictures((4, 3)) / 2}
    frozen_part, tail = kx.split_frozen(model)
    got = tail(frozen_part(x))
    for name, value in model(x).items():
        np.testing.assert_allclose(got[name], value)


def test_an_input_that_the_trained_part_needs_goes_through_the_cut():
    one, other = keras.Input((3,)), keras.Input((3,))
    frozen = keras.layers.Dense(3, trainable=False)(one)
    model = keras.Model([one, other], keras.layers.Dense(2)(frozen + other))
    assert_same(model, [pictures((4, 3)), pictures((4, 3)) / 2])


def test_a_layer_called_twice_is_called_twice():
    one, other = keras.Input((3,)), keras.Input((3,))
    twin = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(3, trainable=False), keras.layers.Dense(2)]
    )
    model = keras.Model([one, other], keras.layers.Dense(1)(twin(one) - twin(other)))
    frozen_part, _ = assert_same(model, [pictures((4, 3)), pictures((4, 3)) / 2])
    assert len(frozen_part.outputs) == 2


def frozen_classifier(*layers):
    model = keras.Sequential(
        [keras.Input((8,)), *layers, keras.layers.Dense(4, name="last"), keras.layers.Dense(2)]
    )
    for layer in model.layers[:-1]:
        if not isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (keras.layers.Dropout(0.5, name="drop"), r"'drop' \(Dropout\) is random"),
        (keras.layers.GaussianNoise(0.5, name="noise"), r"'noise' \(GaussianNoise\) is random"),
        (keras.layers.BatchNormalization(name="bn"), "BatchNorm 'bn' move"),
        (keras.layers.BatchNormalization(name="bn", center=False, scale=False), "BatchNorm 'bn'"),
        (keras.layers.ActivityRegularization(0.1, name="loss"), "'loss' adds a loss"),
        (
            keras.layers.SpectralNormalization(keras.layers.Dense(3), name="norm"),
            "'norm' .* keeps a state",
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_would_not_be_exact_is_refused_with_its_reason(layer, reason):
    with pytest.raises(ValueError, match=reason):
        kx.split_frozen(frozen_classifier(layer))


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Dropout(0.0),
        keras.layers.BatchNormalization(trainable=False),
        keras.layers.Reshape((4, 2)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_does_nothing_while_training_is_no_hindrance(layer):
    rest = [keras.layers.Flatten()] if isinstance(layer, keras.layers.Reshape) else []
    assert_same(frozen_classifier(layer, *rest), pictures((4, 8)))


def test_frozen_recurrent_layers_without_dropout_are_no_hindrance():
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.LSTM(4, trainable=False), keras.layers.Dense(2)]
    )
    assert_same(model, pictures((4, 5, 3)))


def test_recurrent_layers_that_keep_their_state_are_refused():
    inputs = keras.Input(batch_shape=(4, 5, 3))
    hidden = keras.layers.LSTM(4, stateful=True, trainable=False, name="lstm")(inputs)
    with pytest.raises(ValueError, match="'lstm' .* keeps a state"):
        kx.split_frozen(keras.Model(inputs, keras.layers.Dense(2)(hidden)))


def test_stochastic_depth_inside_a_backbone_is_refused():
    backbone = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    model = kx.Classifier(backbone, 2)
    kx.FeatureExtraction().apply(model)
    with pytest.raises(ValueError, match="'block2b_drop'.*is random while training"):
        kx.split_frozen(model)


def test_dropout_and_statistics_of_the_head_end_the_frozen_part(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2, standardize=True, dropout=0.5)
    kx.FeatureExtraction().apply(model)
    frozen_part, tail = kx.split_frozen(model)
    assert frozen_part.output_shape == (None, 6)
    assert len(tail.layers) > 2


def test_a_mask_that_would_be_lost_is_refused():
    tokens = keras.Input((5,), dtype="int32")
    embedded = keras.layers.Embedding(10, 4, mask_zero=True, trainable=False)(tokens)
    model = keras.Model(tokens, keras.layers.Dense(2)(keras.layers.LSTM(3)(embedded)))
    with pytest.raises(ValueError, match="a mask goes on"):
        kx.split_frozen(model)
    pooled = keras.layers.GlobalAveragePooling1D()(embedded)
    model = keras.Model(tokens, keras.layers.Dense(2)(pooled))
    assert_same(model, np.array([[1, 2, 0, 0, 0], [3, 4, 5, 0, 0]]))


class Halved(keras.layers.Layer):
    """Unknown to Keras: by its `training` alone nobody can tell that it changes nothing."""

    def call(self, inputs, training=False):
        return inputs / 2


class HalvedWhileTraining(keras.layers.Layer):
    def call(self, inputs, training=False):
        return inputs / 2 if training else inputs


class Counting(keras.layers.Layer):
    def build(self, input_shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, inputs):
        self.count.assign_add(1.0)
        return inputs


@pytest.mark.parametrize("kind", [HalvedWhileTraining, Counting])
def test_layers_of_unknown_packages_are_tried(kind):
    assert_same(frozen_classifier(Halved()), pictures((4, 8)))
    model = frozen_classifier(kind(name="own"))
    with pytest.raises(ValueError, match="'own'.*while training"):
        kx.split_frozen(model)
    assert all(float(w) == 0 for w in model.weights if "count" in w.path)


def test_a_model_without_two_parts_is_refused(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    with pytest.raises(ValueError, match="there are none"):
        kx.split_frozen(model)
    model.trainable = False
    with pytest.raises(ValueError, match="behind the frozen part: there are none"):
        kx.split_frozen(model)


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="no graph to cut.*class Own"):
        kx.split_frozen(Own())


class Noise(keras.layers.Layer):
    def call(self, inputs):
        return inputs + tf.random.normal(tf.shape(inputs))


@pytest.mark.parametrize(
    "layer",
    [Noise(name="own"), keras.layers.Lambda(lambda x: x + tf.random.normal([]), name="own")],
    ids=["layer", "lambda"],
)
def test_random_layers_that_do_not_say_so_are_found(layer):
    with pytest.raises(ValueError, match="'own'.*while training"):
        kx.split_frozen(frozen_classifier(layer))


def test_a_nested_model_called_by_keyword_stays_whole(tiny_backbone):
    tiny_backbone.get_layer("third").trainable = False
    pixels = keras.Input((*SIZE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(tiny_backbone(inputs=pixels))
    with pytest.raises(ValueError, match="there are none"):
        kx.split_frozen(keras.Model(pixels, keras.layers.Dense(2)(pooled)))
