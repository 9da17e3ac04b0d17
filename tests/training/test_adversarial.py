import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

LOSS = keras.losses.SparseCategoricalCrossentropy
RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(0, 255, (6, 32, 32, 3)).astype("float32")
X[0, :4], X[1, :4] = 0.0, 255.0  # where clipping shows
Y = np.array([0, 1, 0, 1, 1, 0])
WEIGHTS = np.array([1.0, 2.0, 0.5, 1.0, 0.0, 3.0], "float32")


def expected_copies(model, epsilon):
    """By a tape of its own, each example apart."""
    pixels = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        log_p = tf.nn.log_softmax(model(pixels, training=False))
        each = -tf.reduce_sum(log_p * tf.one_hot(Y, 2), axis=-1)
    return np.clip(X + epsilon * np.sign(tape.gradient(each, pixels)), 0, 255)


def compiled(model, **options):
    adversarial = kx.AdversarialTraining(model, **options)
    adversarial.compile(keras.optimizers.SGD(0.1), LOSS(from_logits=True), metrics=["accuracy"])
    return adversarial


def test_copies_move_each_pixel_by_epsilon_along_the_gradient(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    perturbed = compiled(model, epsilon=4.0).perturb(X, Y)
    np.testing.assert_allclose(perturbed, expected_copies(model, 4.0), atol=1e-4)
    assert np.abs(perturbed - X).max() <= 4.0001


def test_loss_is_the_weighted_sum_of_both(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2, hidden=[3])
    model.layers[-2].kernel.regularizer = keras.regularizers.L2(0.1)
    penalty = 0.1 * float((model.layers[-2].kernel.numpy().astype("float64") ** 2).sum())
    kx.FineTuning().apply(model)  # with BatchNorm frozen, training gives what inference gives

    def loss(pictures):
        logits = model(pictures, training=False).numpy().astype("float64")
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        return -(log_p[np.arange(6), Y] * WEIGHTS).mean()

    expected = 0.7 * loss(X) + 0.3 * loss(expected_copies(model, 4.0)) + penalty
    adversarial = compiled(model, epsilon=4.0, weight=0.3)
    history = adversarial.fit(X, Y, sample_weight=WEIGHTS, batch_size=6, verbose=0)
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_evaluate_and_predict_see_the_pictures_as_they_are(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    adversarial = compiled(model, epsilon=8.0)
    model.compile(loss=LOSS(from_logits=True), metrics=["accuracy"])
    assert adversarial.evaluate(X, Y, verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0))
    np.testing.assert_array_equal(adversarial.predict(X, verbose=0), model.predict(X, verbose=0))


def test_frozen_batch_norm_stays_and_others_are_moved_by_both(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    statistics = tiny_backbone.get_layer("first_bn").moving_mean

    kx.FineTuning().apply(model)
    before = statistics.numpy()
    compiled(model, epsilon=4.0).fit(X, Y, verbose=0)
    np.testing.assert_array_equal(statistics.numpy(), before)

    kx.FineTuning(batch_norm="trainable").apply(model)
    adversarial = compiled(model, epsilon=4.0)
    adversarial.optimizer.learning_rate = 0.0
    conv = keras.Model(tiny_backbone.input, tiny_backbone.get_layer("first").output)
    means = [np.mean(conv(x), axis=(0, 1, 2)) for x in (X, expected_copies(model, 4.0))]
    adversarial.fit(X, Y, batch_size=6, verbose=0)
    once = 0.99 * before + 0.01 * means[0]
    # The layer before saw copies made with statistics that had moved once, hence the tolerance.
    np.testing.assert_allclose(statistics.numpy(), 0.99 * once + 0.01 * means[1], atol=1e-4)


@pytest.fixture
def half_model():
    """Computes in halves, which would round its small gradients of pixels to 0."""
    keras.config.set_dtype_policy("mixed_float16")
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1e-4)(pixels)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, keras.layers.Dense(2, name="logits", dtype="float32")(x))


def test_half_precision_moves_pixels_with_small_gradients(half_model):
    perturbed = compiled(half_model, epsilon=4.0).perturb(np.full([2, 32, 32, 3], 99.0), Y[:2])
    assert (np.abs(perturbed.numpy() - 99.0) == 4.0).mean() > 0.99


def test_a_loss_scale_that_overflows_leaves_pixels_as_they_are(half_model):
    adversarial = kx.AdversarialTraining(half_model, 4.0)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=2.0**100)
    adversarial.compile(optimizer, LOSS(from_logits=True))
    optimizer.build(adversarial.trainable_variables)
    # Keras leaves out such a step; its loss should not be that of black pictures.
    assert np.abs(adversarial.perturb(X, Y) - X).max() <= 4.0001


@pytest.mark.parametrize("options", [{"epsilon": 0}, {"epsilon": 1.0, "weight": 1.5}])
def test_settings_out_of_range_are_refused(tiny_backbone, options):
    with pytest.raises(ValueError, match="Expected `epsilon` above 0.*Received: epsilon="):
        kx.AdversarialTraining(tiny_backbone, **options)


def test_several_outputs_are_refused(tiny_backbone):
    outputs = [tiny_backbone.output, tiny_backbone.output]
    with pytest.raises(ValueError, match="1 inputs and 2 outputs"):
        kx.AdversarialTraining(keras.Model(tiny_backbone.input, outputs), 1.0)


@pytest.mark.slow
def test_two_replicas_make_the_step_of_a_single_device():
    code = """
import contextlib, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
random = np.random.default_rng(0)
x, y = random.uniform(0, 255, (8, 8, 8, 3)).astype("float32"), np.arange(8) % 2
results = []
for scope in (contextlib.nullcontext(), tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope()):
    keras.utils.set_random_seed(0)
    with scope:
        pixels = keras.Input((8, 8, 3))
        z = keras.layers.Conv2D(4, 3, activation="tanh")(keras.layers.Rescaling(1 / 255)(pixels))
        z = keras.layers.Dense(2, name="logits", kernel_regularizer="l2")(keras.layers.Flatten()(z))
        model = kx.AdversarialTraining(keras.Model(pixels, z), epsilon=8.0, weight=0.4)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss)
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
        history = model.fit(data, epochs=2, verbose=0)
    results.append([*history.history["loss"], *(w.numpy() for w in model.weights)])
for one, other in zip(*results, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
print("equal")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith("equal"), done.stderr[-2000:]
