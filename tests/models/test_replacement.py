import keras
import numpy as np
import pytest

import keras_transfer as kx

L = keras.layers
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")


def weights(model):
    return {weight.path: weight.numpy() for weight in model.weights}


def assert_same_weights(one, other, but=()):
    first, second = weights(one), weights(other)
    for path in first:
        if path.split("/")[-2] not in but:
            np.testing.assert_array_equal(first[path], second[path])


def flags(model):
    return {weight.path: weight.trainable for weight in model.weights}


@pytest.fixture
def trained(tiny_backbone):
    """BatchNorm statistics and all other weights away from where they begin."""
    random = np.random.default_rng(2)
    for weight in tiny_backbone.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return tiny_backbone


@pytest.fixture
def network():
    return kx.load_backbone("efficientnet_lite0", input_shape=(64, 64, 3))


def test_nothing_replaced_is_a_copy_that_shares_nothing(trained):
    copy = kx.replace_layers(trained, {})
    np.testing.assert_array_equal(copy(PIXELS), trained(PIXELS))
    assert list(weights(copy)) == list(weights(trained))
    assert not {id(layer) for layer in copy.layers} & {id(layer) for layer in trained.layers}
    before = trained(PIXELS).numpy()
    copy.get_layer("first").kernel.assign(copy.get_layer("first").kernel * 2)
    copy.trainable = False
    np.testing.assert_array_equal(trained(PIXELS), before)
    assert all(flags(trained)[path] for path in ("first/kernel", "third/bias"))


def test_activation_is_replaced_in_a_pretrained_network(network):
    smooth = kx.replace_layers(network, {L.ReLU: L.Activation("swish")})
    assert_same_weights(network, smooth)
    assert sum(isinstance(layer, L.Activation) for layer in smooth.layers) == 33
    stem = keras.Model(smooth.input, smooth.get_layer("stem_relu6").output)
    before = keras.Model(network.input, network.get_layer("stem_bn").output)(
        np.zeros([1, 64, 64, 3])
    )
    x = before.numpy().astype("float64")
    np.testing.assert_allclose(stem(np.zeros([1, 64, 64, 3])), x / (1 + np.exp(-x)), atol=1e-5)
    assert np.isfinite(smooth(np.full([1, 64, 64, 3], 255.0))).all()


def test_normalization_and_strides_are_replaced_in_a_pretrained_network(network):
    groups = kx.replace_layers(network, {L.BatchNormalization: L.GroupNormalization(8)})
    normalizations = {layer.name for layer in network.layers if "bn" in layer.name}
    assert_same_weights(network, groups, but=normalizations)
    assert [b.name for b in kx.split_into_blocks(groups)] == [
        b.name for b in kx.split_into_blocks(network)
    ]

    def fine(old):
        return L.Conv2D.from_config({**old.get_config(), "strides": 1})

    finer = kx.replace_layers(network, {"stem_conv": fine}, keep_weights=True)
    assert_same_weights(network, finer)
    assert (network.output_shape, finer.output_shape) == ((None, 2, 2, 1280), (None, 4, 4, 1280))


def test_new_layer_takes_no_weights_unless_asked(trained):
    new = L.Conv2D(4, 3, 2, "same")
    fresh = kx.replace_layers(trained, {"first": new})
    assert_same_weights(trained, fresh, but=["first"])
    assert np.abs(fresh.get_layer("first").kernel).max() < 0.5  # those of `trained` are above
    kept = kx.replace_layers(trained, {"first": new}, keep_weights=True)
    np.testing.assert_array_equal(kept(PIXELS), trained(PIXELS))
    assert not new.built  # each place has a copy


def test_function_brings_weights_or_leaves_the_layer(trained):
    def doubled(old):
        if old.name == "first":
            return old
        new = L.Conv2D.from_config(old.get_config())
        new.build(old.input.shape)
        new.set_weights([2 * weight for weight in old.get_weights()])
        return new

    copy = kx.replace_layers(trained, {L.Conv2D: doubled})
    for name, factor in (("first", 1), ("second", 2), ("third", 2)):
        for one, other in zip(
            trained.get_layer(name).get_weights(), copy.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(factor * one, other)


def test_none_passes_the_input_on(trained):
    # y = x + bn(conv(x)) becomes y = x + bn(x)
    copy = kx.replace_layers(trained, {"third": None})
    x = keras.Model(trained.input, trained.get_layer("re_lu_1").output)(PIXELS).numpy()
    gamma, beta, mean, variance = trained.get_layer("third_bn").get_weights()
    expected = x + (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(copy(PIXELS), expected, rtol=1e-4)


def test_names_go_before_classes(trained):
    copy = kx.replace_layers(trained, {L.ReLU: L.ELU(), "re_lu": L.Activation("tanh")})
    assert isinstance(copy.get_layer("re_lu"), L.Activation)
    assert isinstance(copy.get_layer("re_lu_1"), L.ELU)


def test_layers_of_the_backbone_in_a_classifier_are_replaced(trained):
    model = kx.Classifier(trained, ["a", "b"], dropout=0.5)
    kx.FineTuning(1).apply(model)
    model.resize = "crop"
    model.compile(loss=lambda y, p: p)  # of no name that Keras knows
    copy = kx.replace_layers(model, {L.ReLU: L.ELU()})
    assert (copy.class_names, copy.resize, copy.compiled) == (["a", "b"], "crop", False)
    assert_same_weights(model, copy)
    assert flags(copy) == flags(model)
    assert isinstance(copy.get_layer("tiny").get_layer("re_lu"), L.ELU)
    assert copy.layers[-1].name == "logits"
    copy.class_names.append("c")
    assert model.class_names == ["a", "b"]


@pytest.mark.parametrize("inner", [True, False])
def test_flags_of_models_and_layers_are_kept(trained, inner):
    model = kx.Classifier(trained, 2)
    trained.trainable = False
    trained.get_layer("first").trainable = inner
    copy = kx.replace_layers(model, {L.ReLU: L.PReLU(shared_axes=[1, 2])})
    new = copy.get_layer("tiny")
    assert (new.trainable, new.get_layer("first").trainable) == (False, inner)
    assert (new.get_layer("second").trainable, new.get_layer("re_lu").trainable) == (False, True)


def test_flags_of_single_weights_are_kept(trained):
    model = kx.Classifier(trained, 2)
    kx.BiasTuning().apply(model)
    copy = kx.replace_layers(model, {L.ReLU: L.ELU()})
    flags = [[w.trainable for w in one.get_layer("tiny").weights] for one in (model, copy)]
    assert flags[0] == flags[1]


def test_sequential_shared_nested_and_plain_operations_are_copied():
    inputs = keras.Input((4, 4, 3))
    stack = keras.Sequential(
        [keras.Input((4, 4, 3)), L.Conv2D(3, 1, name="conv"), L.ReLU(name="act")], name="stack"
    )
    within = keras.Model(inputs, stack(inputs) * 2.0, name="within")
    x = keras.Input((4, 4, 3), name="pixels")
    shared = L.Dense(3, name="shared")
    y = shared(shared(within(x)))
    model = keras.Model(x, keras.ops.reshape(y + x, (-1, 48)), name="all")
    pixels = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32")
    copy = kx.replace_layers(model, {})
    np.testing.assert_array_equal(copy(pixels), model(pixels))
    assert list(weights(copy)) == list(weights(model))
    copy = kx.replace_layers(model, {"act": L.Activation("tanh")})
    hidden = np.tanh(np.tensordot(pixels, stack.layers[0].kernel.numpy()[0, 0], 1)) * 2
    for _ in range(2):
        hidden = hidden @ shared.kernel.numpy()
    np.testing.assert_allclose(copy(pixels), (hidden + pixels).reshape(2, 48), atol=1e-5)
    alone = kx.replace_layers(stack, {L.ReLU: None})
    assert isinstance(alone, keras.Sequential)
    np.testing.assert_allclose(alone(pixels), stack.layers[0](pixels), atol=1e-6)


def test_state_beside_weights_is_copied():
    # Normalization computes from its weights; Dropout has a random state.
    pixels = np.random.default_rng(0).normal(5, 3, (8, 4)).astype("float32")
    normalization = L.Normalization()
    normalization.adapt(pixels)
    model = keras.Sequential([keras.Input((4,)), normalization, L.Dropout(0.5), L.ReLU()])
    model(pixels, training=True)
    copy = kx.replace_layers(model, {L.ReLU: None})
    np.testing.assert_allclose(copy(pixels), (pixels - pixels.mean(0)) / pixels.std(0), atol=1e-5)
    again = kx.replace_layers(model, {})
    np.testing.assert_array_equal(again(pixels, training=True), model(pixels, training=True))


def test_dtype_policies_are_kept():
    keras.config.set_dtype_policy("mixed_bfloat16")
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    model = kx.Classifier(backbone, 2)
    keras.config.set_dtype_policy("float32")
    copy = kx.replace_layers(model, {"block1a_relu6": L.ELU(dtype="mixed_bfloat16")})
    inner = copy.get_layer(backbone.name)
    for old, new in zip(backbone.layers[1:], inner.layers[1:], strict=True):
        assert old.dtype_policy.name == new.dtype_policy.name
    assert copy(PIXELS).dtype == "float32"


@pytest.mark.parametrize(
    ("replacements", "message"),
    [
        ({"frist": None}, r"instance \['first'.*Received: 'frist'"),
        ({"nothing_like_it": None}, r"'rescaling', 'first', .*Received: 'nothing_like_it'"),
        ({L.LSTM: None}, r"'Conv2D', 'ReLU'.*Received: .*LSTM"),
        ({L.InputLayer: None}, "Received: .*InputLayer"),
        ({"first": "swish"}, "replaces layer 'first'.*Received: 'swish'"),
        ({"first": L.ReLU}, "replaces layer 'first'.*Received: <class"),
        ({"first": lambda old: 3}, "replaces layer 'first'.*Received: 3"),
        ({"first": L.Conv2D(5, 3, 2, "same")}, r"'first_bn' to fit.*\(5,\).*\(4,\)"),
        ({"third": L.Flatten()}, "'third_add' does not take what it is given"),
        ({"first_bn": L.GroupNormalization(3)}, "'first_bn' does not take.*Number of groups"),
    ],
)
def test_replacements_that_cannot_be_made_are_explained(trained, replacements, message):
    with pytest.raises(ValueError, match=message):
        kx.replace_layers(trained, replacements)


def test_weights_that_do_not_fit_and_models_without_a_graph_are_refused(trained):
    with pytest.raises(ValueError, match=r"'first' to fit.*\(5, 5, 3, 4\).*\(3, 3, 3, 4\)"):
        kx.replace_layers(trained, {"first": L.Conv2D(4, 5, 2, "same")}, keep_weights=True)
    stack = keras.Sequential([keras.Input((4,)), L.Dense(3, name="one"), L.ReLU(name="two")])
    with pytest.raises(ValueError, match="'sequential.*' does not take"):
        kx.replace_layers(stack, {"two": L.Conv2D(1, 1)})

    class Mine(keras.Model):
        pass

    with pytest.raises(ValueError, match="functional or sequential.*Mine"):
        kx.replace_layers(Mine(), {})
