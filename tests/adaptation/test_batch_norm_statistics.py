import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

X = np.random.default_rng(0).normal(2, 3, (23, 5)).astype("float32")


def dataset(x=X, batch_size=4, labels=False):
    parts = (x, np.zeros(len(x))) if labels else x
    return tf.data.Dataset.from_tensor_slices(parts).batch(batch_size)


def adapt(model, target=None, **options):
    kx.adapt_batch_norm(model, dataset() if target is None else target, verbose=False, **options)


def three_layers():
    """Dense, BatchNorm and ReLU, three times; the second group in a nested model, frozen."""
    inner = keras.Sequential(
        [
            keras.Input([6]),
            keras.layers.Dense(6),
            keras.layers.Dropout(0.5),
            keras.layers.BatchNormalization(epsilon=0.1),
            keras.layers.ReLU(),
        ]
    )
    inner.trainable = False
    x = inputs = keras.Input([5])
    x = keras.layers.Dense(6)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(6)(inner(x))
    x = keras.layers.BatchNormalization(scale=False)(x)
    model = keras.Model(inputs, x)
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.2, 2, w.shape) for w in model.get_weights()])
    return model, [model.layers[2], inner.layers[2], model.layers[-1]]


def normalized(z, layer, mean, variance):
    gamma = layer.gamma.numpy() if layer.scale else 1.0
    return gamma * (z - mean) / np.sqrt(variance + layer.epsilon) + layer.beta.numpy()


def sequential_statistics(model, layers):
    """Each layer's over all examples at once, on what exactly adapted layers before it give."""
    inner = model.layers[4]
    denses = [model.layers[1], inner.layers[0], model.layers[-2]]
    h, found = X.astype("float64"), []
    for dense, layer in zip(denses, layers, strict=True):
        kernel, bias = (w.numpy().astype("float64") for w in dense.weights)
        z = h @ kernel + bias
        found.append((z.mean(0), z.var(0)))
        h = np.maximum(normalized(z, layer, *found[-1]), 0)
    return found


def differences(layers, expected):
    return [
        max(
            np.abs(layer.moving_mean.numpy() / mean - 1).max(),
            np.abs(layer.moving_variance.numpy() / variance - 1).max(),
        )
        for layer, (mean, variance) in zip(layers, expected, strict=True)
    ]


@pytest.mark.parametrize("passes", [1, 2, 3, 4])
def test_after_k_passes_k_layers_are_exact_and_the_others_close(passes):
    model, layers = three_layers()
    expected = sequential_statistics(model, layers)
    adapt(model, passes=passes)
    found = differences(layers, expected)
    assert max(found[:passes]) < 1e-4
    assert max(found) < 0.5
    assert passes >= 3 or min(found[passes:]) > 1e-4


def test_one_batch_is_exact_in_one_pass():
    model, layers = three_layers()
    expected = sequential_statistics(model, layers)
    adapt(model, dataset(batch_size=23), passes=1)
    assert max(differences(layers, expected)) < 1e-4


def test_nothing_else_changes():
    model, layers = three_layers()
    moved = {id(w) for layer in layers for w in (layer.moving_mean, layer.moving_variance)}
    rest = [w for w in (*model.variables, *model.non_trainable_variables) if id(w) not in moved]
    before = [w.numpy() for w in rest]
    flags = [layer.trainable for layer in model._flatten_layers()]
    settings = [layer.get_config() for layer in layers]
    adapt(model)
    for variable, value in zip(rest, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert any("seed" in variable.path for variable in rest)
    assert [layer.trainable for layer in model._flatten_layers()] == flags
    assert [layer.get_config() for layer in layers] == settings
    assert all("call" not in vars(layer) for layer in layers)


def test_training_goes_on_as_usual():
    model, layers = three_layers()
    adapt(model)
    before = layers[0].moving_mean.numpy()
    model.compile("sgd", "mse")
    model.fit(X, np.zeros([23, 6]), verbose=0)
    assert (layers[0].moving_mean.numpy() != before).any()


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("size", [(6, 4, 3), (None, None, 3)])
def test_feature_maps_count_every_place(axis, size):
    if axis == 1 and size[0] is None:
        size = (6, None, 3)
    x = np.random.default_rng(0).normal(50, 1, (11, 6, 4, 3)).astype("float32")
    layers = [keras.Input(size), keras.layers.BatchNormalization(axis=axis)]
    model = keras.Sequential(layers)
    adapt(model, dataset(x, labels=True))
    axes = tuple(number for number in range(4) if number != axis % 4)
    layer = model.layers[0]
    np.testing.assert_allclose(layer.moving_mean, x.mean(axes, dtype="float64"), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, x.var(axes, dtype="float64"), rtol=1e-4)


def test_masked_steps_do_not_count():
    x = np.random.default_rng(0).normal(size=(7, 5, 3)).astype("float32")
    x[2:4, 2:] = 0
    x[4:6] = 0  # with batches of two, one batch has nothing
    model = keras.Sequential(
        [keras.Input([5, 3]), keras.layers.Masking(), keras.layers.BatchNormalization()]
    )
    adapt(model, dataset(x, 2))
    kept = x[np.any(x != 0, axis=-1)]
    np.testing.assert_allclose(model.layers[1].moving_mean, kept.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.layers[1].moving_variance, kept.var(0), rtol=1e-4)


def test_a_shared_layer_sees_all_its_calls():
    layer = keras.layers.BatchNormalization()
    inputs = {"one": keras.Input([5], name="one"), "other": keras.Input([5], name="other")}
    outputs = keras.layers.Add()([layer(inputs["one"]), layer(inputs["other"])])
    model = keras.Model(inputs, outputs)
    other = 3 * X + 1
    adapt(model, tf.data.Dataset.from_tensor_slices({"one": X, "other": other}).batch(4))
    both = np.concatenate([X, other])
    np.testing.assert_allclose(layer.moving_mean, both.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, both.var(0), rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "float64"])
def test_other_dtypes_of_layers(policy):
    keras.config.set_dtype_policy(policy)
    model, layers = three_layers()
    expected = sequential_statistics(model, layers)
    adapt(model, passes=3)
    assert max(differences(layers, expected)) < (0.03 if policy == "mixed_float16" else 1e-6)


def test_a_classifier_predicts_with_the_new_statistics(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, tiny_data.class_names, dropout=0.5)
    tiny_backbone.trainable = False
    adapt(model, tiny_data.train)
    outputs = keras.Model(tiny_backbone.input, tiny_backbone.get_layer("first_bn").output)
    pictures = np.concatenate([batch[0].numpy() for batch in tiny_data.train])
    z = outputs.predict(pictures, verbose=0)
    np.testing.assert_allclose(z.mean((0, 1, 2)), 0, atol=1e-3)


def test_data_without_numbers_raises_and_leaves_the_model_as_it_was():
    model, layers = three_layers()
    before = model.get_weights()
    x = X.copy()
    x[20, 1] = np.nan
    with pytest.raises(ValueError, match=layers[0].name):
        adapt(model, dataset(x))
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_failure_in_a_later_pass_leaves_the_model_as_it_was():
    model, layers = three_layers()
    before, passes = model.get_weights(), []

    def batches():
        passes.append(1)
        yield X[:4]
        if len(passes) == 2:
            raise RuntimeError

    target = tf.data.Dataset.from_generator(
        batches, output_signature=tf.TensorSpec([None, 5], tf.float32)
    )
    with pytest.raises(tf.errors.OpError):
        adapt(model, target)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert all("call" not in vars(layer) for layer in layers)


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (dataset().repeat(), "-1"),
        (dataset().take(0), "0 batches"),
        (dataset().filter(lambda x: False), "an empty one"),
    ],
)
def test_datasets_without_end_or_batches_raise(target, match):
    with pytest.raises(ValueError, match=match):
        adapt(three_layers()[0], target)


def test_no_pass_raises():
    with pytest.raises(ValueError, match="passes=0"):
        adapt(three_layers()[0], passes=0)


def test_a_model_without_batch_norm_raises():
    model = keras.Sequential([keras.Input([5]), keras.layers.Dense(2)], name="plain")
    with pytest.raises(ValueError, match="'plain' with 0 BatchNormalization layers"):
        adapt(model)


def test_a_model_that_is_not_built_raises():
    with pytest.raises(ValueError, match="Expected a built model"):
        adapt(keras.Sequential([keras.layers.BatchNormalization()]))


def test_a_hub_module_with_statistics_raises(tmp_path):
    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.moving_mean = tf.Variable(tf.zeros(5), trainable=False)

        @tf.function(input_signature=[tf.TensorSpec([None, 5], tf.float32)])
        def __call__(self, x):
            return x - self.moving_mean

    module = Module()
    tf.saved_model.save(module, str(tmp_path / "module"))
    layers = [kx.HubLayer(tmp_path / "module", name="hub"), keras.layers.BatchNormalization()]
    with pytest.raises(ValueError, match="TF Hub module with statistics of its own, 'hub'"):
        adapt(keras.Sequential([keras.Input([5]), *layers]))
