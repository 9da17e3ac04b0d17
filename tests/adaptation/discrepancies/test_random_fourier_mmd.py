import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.discrepancies.random_fourier import (
    fourier_error_bound,
    fourier_features,
    random_frequencies,
)

RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(size=(30, 6)).astype("float32")
TARGET = RANDOM.normal(0.4, size=(20, 6)).astype("float32")
WEIGHTS = (RANDOM.uniform(0.1, 2.0, 30), RANDOM.uniform(0.1, 2.0, 20))


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_it_equals_loops_over_pairs_with_the_kernel_of_its_frequencies(estimator):
    layer = kx.RandomFourierMMD(16, bandwidth=4.0, estimator=estimator)
    found = layer(SOURCE, TARGET, *WEIGHTS)
    frequencies = layer.frequencies.numpy().astype("float64")

    def mean(x, y, w, v, same):
        total = count = 0.0
        for i in range(len(x)):
            for j in range(len(y)):
                if i != j or not same or estimator == "biased":
                    angles = (x[i].astype("float64") - y[j]) / 2 @ frequencies
                    total += w[i] * v[j] * np.cos(angles).mean()
                    count += w[i] * v[j]
        return total / count

    (w, v) = WEIGHTS
    wanted = mean(SOURCE, SOURCE, w, w, True) + mean(TARGET, TARGET, v, v, True)
    wanted -= 2 * mean(SOURCE, TARGET, w, v, False)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("num_frequencies", [64, 2048])
def test_errors_are_within_the_bound_and_not_far_below_chance(num_frequencies):
    exact = float(kx.MaximumMeanDiscrepancy(estimator="biased")(SOURCE, TARGET))
    errors = []
    for seed in range(40):
        layer = kx.RandomFourierMMD(num_frequencies, estimator="biased", seed=seed)
        errors.append(abs(float(layer(SOURCE, TARGET)) - exact))
    assert max(errors) < layer.error_bound(exact)
    # The ladder's share of each kernel is right: the error falls with the root of frequencies.
    assert np.sqrt(np.mean(np.square(errors))) < 2 / math.sqrt(num_frequencies)


def test_the_bound_is_bernsteins():
    # v = .05, m = 2048, q = .01: at most .039, as in the derivation.
    assert fourier_error_bound(0.05, 2048, 0.99) == pytest.approx(0.0391, abs=1e-4)
    wanted = math.sqrt(8 * 0.2 * math.log(20) / 100) + 8 * math.log(20) / 300
    assert fourier_error_bound(0.2, 100, 0.9) == pytest.approx(wanted)


def test_features_have_length_one():
    features = fourier_features(tf.constant(SOURCE), tf.constant(random_frequencies(6, 50)))
    assert features.shape == (30, 100)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)


def test_unbiased_estimates_have_a_mean_of_zero_between_equal_distributions():
    layer = kx.RandomFourierMMD(64, bandwidth=8.0)
    run = tf.function(layer)
    draws = RANDOM.normal(size=(1000, 14, 4)).astype("float32")
    values = np.array([run(tf.constant(d[:8]), tf.constant(d[8:])) for d in draws])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(1000)


def test_the_seed_tells_the_frequencies_and_they_are_saved(tmp_path):
    first, same, other = (kx.RandomFourierMMD(8, seed=seed) for seed in (1, 1, 2))
    values = [float(layer(SOURCE, TARGET)) for layer in (first, same, other)]
    assert values[0] == values[1] != values[2]
    inputs = [keras.Input([6]), keras.Input([6])]
    model = keras.Model(inputs, first(*inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(loaded([SOURCE, TARGET])) == values[0]
    assert not loaded.trainable_weights


def test_bad_input_has_the_results_of_the_exact_one():
    layer = kx.RandomFourierMMD(8)
    assert np.isnan(layer(SOURCE * np.nan, TARGET))
    assert layer(SOURCE, TARGET, np.arange(30) == 0) == 0
    features = tf.Variable(tf.ones([4, 6]))
    with tf.GradientTape() as tape, pytest.warns(UserWarning, match="switched off"):
        value = layer(features, features)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(value, features), 0, atol=1e-6)
    for settings, message in (
        ({"num_frequencies": 0}, "Received: 0"),
        ({"estimator": "linear"}, "Received: 'linear'"),
    ):
        with pytest.raises(ValueError, match=message):
            kx.RandomFourierMMD(**settings)
