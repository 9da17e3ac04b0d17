import numpy as np
import pytest

import keras_transfer as kx

CONFUSION = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])  # of a class's examples
SOURCE = np.array([0.5, 0.3, 0.2])
TARGET = np.array([0.1, 0.3, 0.6])
ONE_HOT = np.eye(3)


def exact(shares, total=1000):
    """Labels and one-hot predictions of just these frequencies."""
    counts = np.rint(total * shares[:, None] * CONFUSION).astype(int)
    labels, predicted = np.nonzero(counts)
    repeats = counts[labels, predicted]
    return np.repeat(labels, repeats), ONE_HOT[np.repeat(predicted, repeats)]


def gaussian(shares, number, seed):
    """A mixture of classes in the plane, and their true probabilities under the source."""
    random = np.random.default_rng(seed)
    centers = np.array([[0, 0], [1.5, 0], [0, 1.5]])
    labels = random.choice(3, number, p=shares)
    x = centers[labels] + random.normal(size=(number, 2))
    density = np.exp(-((x[:, None] - centers) ** 2).sum(-1) / 2) * SOURCE
    return labels, density / density.sum(1, keepdims=True)


def weights_of(*arrays, **options):
    found = kx.label_shift_weights(*arrays, **options)
    assert list(found) == [0, 1, 2]
    assert all(type(weight) is float for weight in found.values())
    return np.array(list(found.values()))


def test_black_box_recovers_exact_frequencies():
    labels, predictions = exact(SOURCE)
    _, of_target = exact(TARGET)
    np.testing.assert_allclose(weights_of(labels, predictions, of_target), TARGET / SOURCE)


@pytest.mark.parametrize("method", ["bbse", "em"])
def test_both_methods_recover_frequencies_of_calibrated_predictions(method):
    labels, predictions = gaussian(SOURCE, 20_000, 0)
    _, of_target = gaussian(TARGET, 20_000, 1)
    found = weights_of(labels, predictions, of_target, method=method)
    np.testing.assert_allclose(found, TARGET / SOURCE, atol=0.12)


def test_most_likely_frequencies_match_loops():
    labels, predictions = gaussian(SOURCE, 50, 0)
    _, of_target = gaussian(TARGET, 30, 1)
    prior = np.array([np.mean(labels == c) for c in range(3)])
    shares = prior.copy()
    for _ in range(5000):
        counts = np.zeros(3)
        for row in of_target:
            joint = [row[c] * shares[c] / prior[c] for c in range(3)]
            counts += np.array(joint) / sum(joint)
        shares = counts / len(of_target)
    found = weights_of(labels, predictions, of_target, method="em", min_weight=0)
    np.testing.assert_allclose(found, shares / prior, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["bbse", "em"])
def test_no_shift_gives_weights_near_1(method):
    labels, predictions = gaussian(SOURCE, 5000, 0)
    found = weights_of(labels, predictions, predictions, method=method)
    np.testing.assert_allclose(found, 1, atol=0.1)


def test_classes_that_cannot_be_told_apart_change_alike():
    # Classes 1 and 2 are always predicted as 1: the confusion is singular.
    labels = np.repeat([0, 1, 2], [2, 1, 1])
    predictions = ONE_HOT[[0, 0, 1, 1]]
    found = weights_of(labels, predictions, ONE_HOT[[0, 1, 1, 1]])
    np.testing.assert_allclose(found, [0.5, 1.5, 1.5])


def test_predictions_that_are_all_equal_tell_nothing():
    uniform = np.full((4, 3), 1 / 3)
    found = weights_of([0, 1, 2, 2], uniform, uniform)
    np.testing.assert_allclose(found, 1)


def test_ridge_pulls_towards_1():
    labels, predictions = exact(SOURCE)
    _, of_target = exact(TARGET)
    none, some, much = (
        np.abs(weights_of(labels, predictions, of_target, ridge=ridge) - 1).sum()
        for ridge in (0, 0.01, 100)
    )
    assert none > some > much
    assert much < 0.01


@pytest.mark.parametrize("method", ["bbse", "em"])
def test_a_class_absent_in_the_target_has_the_least_weight_and_the_mean_is_1(method):
    labels, predictions = exact(SOURCE)
    only = ONE_HOT[[1, 1, 2]]
    found = weights_of(labels, predictions, only, method=method, min_weight=0.05)
    assert 0 < found[0] < 0.1
    assert found.argmin() == 0
    np.testing.assert_allclose(SOURCE @ found, 1)


def test_fine_tune_takes_the_weights(tiny_backbone, tiny_data):
    weights = kx.label_shift_weights([0, 1], np.eye(2), np.eye(2)[[0, 1, 1]])
    model = kx.Classifier(tiny_backbone, tiny_data.class_names)
    kx.fine_tune(model, tiny_data.train, epochs=1, class_weight=weights, verbose=0)


GOOD = ([0, 1, 2], ONE_HOT, ONE_HOT)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        (([0, 1], ONE_HOT, ONE_HOT), r"labels of shape \(2,\).*\(3, 3\) and \(3, 3\)"),
        (([0, 1, 2], ONE_HOT, np.eye(2)), r"\(3, 3\) and \(2, 2\)"),
        (([0, 1, 3], ONE_HOT, ONE_HOT), "from 0 to 3"),
        (([-1, 1, 2], ONE_HOT, ONE_HOT), "from -1 to 2"),
        (([0.0, 1.0, 2.0], ONE_HOT, ONE_HOT), "float64 labels"),
        (([0, 1, 1], ONE_HOT, ONE_HOT), r"none of \[2\]"),
        (([0, 1, 2], 5 * ONE_HOT, ONE_HOT), "`source_predictions`.*sums from 5 to 5"),
        (([0, 1, 2], ONE_HOT, ONE_HOT - 1), "`target_predictions`.*from -1"),
        (([0, 1, 2], ONE_HOT, np.full((2, 3), np.nan)), "nan"),
        (([0, 1, 2], ONE_HOT, ONE_HOT[0]), r"`target_predictions`.*shape \(3,\)"),
        (([0, 1, 2], ONE_HOT, np.zeros((0, 3))), r"shape \(0, 3\)"),
    ],
)
def test_arrays_that_do_not_fit_raise(arrays, match):
    with pytest.raises(ValueError, match=match):
        kx.label_shift_weights(*arrays)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"method": "kmm"}, "'kmm'"), ({"ridge": -1}, "ridge=-1"), ({"min_weight": -1}, "=-1")],
)
def test_settings_out_of_range_raise(options, match):
    with pytest.raises(ValueError, match=match):
        kx.label_shift_weights(*GOOD, **options)
