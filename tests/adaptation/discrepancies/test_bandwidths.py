import itertools
import time

import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.adaptation.discrepancies.bandwidths import (
    bandwidth_of,
    mean_bandwidth,
    median_bandwidth,
)
from keras_transfer.adaptation.discrepancies.medians import median
from keras_transfer.adaptation.discrepancies.samples import weighted_samples

RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(5.0, size=(9, 4))
TARGET = RANDOM.normal(4.0, 2.0, size=(6, 4))
WEIGHTS = (RANDOM.uniform(0.1, 2.0, 9), RANDOM.uniform(0.1, 2.0, 6))


def pairs(*arrays):
    pooled = np.concatenate(arrays)
    return [((a - b) ** 2).sum() for a, b in itertools.combinations(pooled, 2)]


def test_mean_is_that_of_all_pairs_of_different_examples():
    found = mean_bandwidth(weighted_samples(SOURCE, TARGET))
    np.testing.assert_allclose(found, np.mean(pairs(SOURCE, TARGET)), rtol=1e-6)


def test_mean_counts_pairs_by_their_weights():
    weights = [a * b for a, b in itertools.combinations(np.concatenate(WEIGHTS), 2)]
    wanted = np.average(pairs(SOURCE, TARGET), weights=weights)
    found = mean_bandwidth(weighted_samples(SOURCE, TARGET, *WEIGHTS))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("numbers", [(9, 6), (8, 6), (2, 1), (1, 1)])
def test_median_is_that_of_all_pairs_of_different_examples(numbers):
    x, y = SOURCE[: numbers[0]], TARGET[: numbers[1]]
    found = median_bandwidth(weighted_samples(x, y))
    np.testing.assert_allclose(found, np.median(pairs(x, y)), rtol=1e-6)


def test_median_leaves_padding_out():
    counts = (np.arange(9) < 5, np.arange(6) != 2)
    found = median_bandwidth(weighted_samples(SOURCE, TARGET, *counts))
    wanted = np.median(pairs(SOURCE[counts[0]], TARGET[counts[1]]))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_median_of_many_examples_takes_a_thousand_of_both_domains():
    x, y = RANDOM.normal(size=(3000, 4)), RANDOM.normal(2.0, size=(1500, 4))
    found = median_bandwidth(weighted_samples(x, y))
    np.testing.assert_allclose(found, np.median(pairs(x[::5], y[::5])), rtol=0.05)


@pytest.mark.parametrize("which", ["mean", "median"])
def test_without_pairs_or_differences_it_is_infinite(which):
    for x, y, weights in (
        (SOURCE[:1], TARGET[:0], (None, None)),
        (SOURCE, TARGET, (np.arange(9) == 0, np.zeros(6))),
        (SOURCE, TARGET, (np.zeros(9), np.zeros(6))),
        (np.ones([3, 4]), np.ones([2, 4]), (None, None)),
        (np.zeros([3, 4]), np.zeros([2, 4]), (None, None)),
    ):
        assert np.isinf(bandwidth_of(weighted_samples(x, y, *weights), which))


@pytest.mark.parametrize("which", ["mean", "median"])
def test_two_examples_have_one_distance(which):
    found = bandwidth_of(weighted_samples(SOURCE[:1], TARGET[:1]), which)
    np.testing.assert_allclose(found, ((SOURCE[0] - TARGET[0]) ** 2).sum(), rtol=1e-6)


def test_median_of_mostly_equal_features_is_not_zero_of_the_diagonal():
    # Features behind a ReLU of which most are 0: half of all distances are not.
    x = np.zeros([4, 4])
    x[:3] = np.eye(4)[:3]
    found = bandwidth_of(weighted_samples(x[:2], x[2:]), "median")
    np.testing.assert_allclose(found, np.median(pairs(x)), rtol=1e-6)
    assert found > 0


@pytest.mark.parametrize("number", [1, 2, 3, 10, 101])
def test_median_of_some_numbers_equals_numpy(number):
    values = np.abs(RANDOM.normal(size=(5, number)) * 10.0 ** RANDOM.integers(-8, 8, number))
    values = np.round(values, 3).astype("float32")  # some of them equal, some 0
    counts = RANDOM.random(values.shape) < 0.6
    counts[0, 0] = True
    np.testing.assert_allclose(median(values, counts), np.median(values[counts]), rtol=1e-6)
    assert median(values, np.zeros_like(counts)) == 0


def test_a_median_of_a_million_numbers_is_quick():
    values, counts = tf.random.uniform([1000, 1000]), tf.ones([1000, 1000], tf.bool)
    run = tf.function(median)
    run(values, counts)
    started = time.process_time()
    run(values, counts)
    assert time.process_time() - started < 1
