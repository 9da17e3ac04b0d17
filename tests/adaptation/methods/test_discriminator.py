import math

import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.adaptation.methods.discriminator import Discriminator, domain_cross_entropy

RANDOM = np.random.default_rng(0)
SOURCE, TARGET = RANDOM.normal(size=7), RANDOM.normal(size=3)
SOURCE_WEIGHTS, TARGET_WEIGHTS = RANDOM.uniform(size=7), RANDOM.uniform(size=3)


def loss(*arrays):
    return domain_cross_entropy(*(tf.constant(array) for array in arrays))


def test_cross_entropy_matches_loops_and_each_domain_weighs_half():
    expected = 0.0
    for logit, weight in zip(SOURCE, SOURCE_WEIGHTS, strict=True):
        expected -= weight * math.log(1 / (1 + math.exp(-logit))) / SOURCE_WEIGHTS.sum() / 2
    for logit, weight in zip(TARGET, TARGET_WEIGHTS, strict=True):
        expected -= weight * math.log(1 - 1 / (1 + math.exp(-logit))) / TARGET_WEIGHTS.sum() / 2
    found = loss(SOURCE, TARGET, SOURCE_WEIGHTS, TARGET_WEIGHTS)
    assert float(found) == pytest.approx(expected)


def test_chance_is_log_2_whatever_the_sizes():
    assert float(loss(np.zeros(9), np.zeros(2), np.ones(9), np.ones(2))) == pytest.approx(
        math.log(2)
    )


def test_extreme_logits_keep_value_and_gradient():
    logits = tf.constant([-1e4, 1e4])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = domain_cross_entropy(logits, logits, tf.ones(2), tf.ones(2))
    assert float(found) == pytest.approx(5000)
    np.testing.assert_allclose(tape.gradient(found, logits), [-0.25, 0.25])


def test_discriminator_matches_numpy():
    discriminator = Discriminator([5, 4])
    discriminator.build((None, 3))
    hidden = x = RANDOM.normal(size=(6, 3)).astype("float32")
    *inner, kernel, bias = (weight.numpy() for weight in discriminator.weights)
    for number in (0, 2):
        hidden = np.maximum(hidden @ inner[number] + inner[number + 1], 0)
    expected = (hidden @ kernel + bias)[:, 0]
    np.testing.assert_allclose(discriminator(x, training=True), expected, rtol=1e-5, atol=1e-6)


def test_dropout_is_active_in_training_alone():
    discriminator = Discriminator([50], dropout=0.5)
    discriminator.build((None, 3))
    x = np.ones([4, 3], "float32")
    once, again = (discriminator(x, training=True).numpy() for _ in range(2))
    assert (once != again).any()
    np.testing.assert_array_equal(discriminator(x), discriminator(x))


def test_no_hidden_layer_is_a_linear_discriminator():
    discriminator = Discriminator([])
    discriminator.build((None, 3))
    assert [tuple(weight.shape) for weight in discriminator.weights] == [(3, 1), (1,)]


@pytest.mark.parametrize(
    ("hidden", "dropout", "match"), [([8, 0], 0, r"\[8, 0\]"), ([8], 1.0, "1.0")]
)
def test_settings_out_of_range_raise(hidden, dropout, match):
    with pytest.raises(ValueError, match=match):
        Discriminator(hidden, dropout)
