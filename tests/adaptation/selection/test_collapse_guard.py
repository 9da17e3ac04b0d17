import dataclasses
import math

import numpy as np
import pytest

import keras_transfer as kx

CLASSES = 4
EVEN = np.eye(CLASSES)[np.arange(20) % CLASSES]
CONSTANT = np.tile(np.eye(CLASSES)[2], (20, 1))


def features(variance=1.0, examples=50):
    values = np.random.default_rng(0).normal(size=(examples, 3))
    return (values - values.mean(0)) / values.std(0) * math.sqrt(variance)


def test_a_model_that_has_not_collapsed_passes():
    guard = kx.CollapseGuard(source_only_accuracy=0.8)
    found = guard.problem(
        EVEN, features=features(), source_features=features(2.0), source_accuracy=0.75
    )
    assert found is None
    assert guard.problem(EVEN) is None


@pytest.mark.parametrize(
    "probabilities",
    [
        CONSTANT,
        np.full([20, CLASSES], 1 / CLASSES),
        # Uncertain and always the same, so that the mean prediction is of high entropy.
        np.tile([0.28, 0.24, 0.24, 0.24], (20, 1)),
    ],
)
def test_a_constant_predictor_is_rejected(probabilities):
    expected = f"an entropy of 0, below 0.5 times the {math.log(4):.3g} expected"
    assert expected in kx.CollapseGuard().problem(probabilities)


@pytest.mark.parametrize(("of_one_class", "rejected"), [(15, False), (18, True)])
def test_predicted_classes_need_half_of_the_entropy_expected(of_one_class, rejected):
    counts = np.array([of_one_class, 20 - of_one_class]) / 20
    entropy = -sum(p * math.log(p) for p in counts)
    guard = kx.CollapseGuard(min_entropy_share=0.3)
    assert rejected == (entropy < 0.3 * math.log(4))
    predicted = np.eye(CLASSES)[[0] * of_one_class + [1] * (20 - of_one_class)]
    assert (guard.problem(predicted) is not None) == rejected


def test_few_examples_need_not_have_all_classes():
    many = np.eye(100)
    assert kx.CollapseGuard().problem(many[[5]]) is None
    assert kx.CollapseGuard().problem(many[[5, 7]]) is None
    assert kx.CollapseGuard().problem(many[[5, 5]]) is not None


def test_a_target_of_one_class_passes_where_the_prior_says_so():
    assert kx.CollapseGuard(class_prior=[0, 0, 1, 0]).problem(CONSTANT) is None
    assert kx.CollapseGuard(class_prior=[0, 0, 0.5, 0.5]).problem(CONSTANT) is not None
    assert kx.CollapseGuard(min_entropy_share=0).problem(CONSTANT) is None


@pytest.mark.parametrize(("accuracy", "rejected"), [(0.72, False), (0.719, True), (0.0, True)])
def test_the_source_accuracy_has_to_stay_above_a_share_of_that_before(accuracy, rejected):
    found = kx.CollapseGuard(source_only_accuracy=0.8).problem(EVEN, source_accuracy=accuracy)
    assert (found is not None) == rejected
    if rejected:
        assert f"source accuracy of {accuracy:.3g} is below 0.9 times the 0.8" in found
    assert kx.CollapseGuard().problem(EVEN, source_accuracy=accuracy) is None


@pytest.mark.parametrize(
    ("target", "source", "rejected"),
    [
        (9.9, 1, False),
        (10.1, 1, True),
        (1, 9.9, False),
        (1, 10.1, True),
        (0, 1, True),
        (0, 0, True),
    ],
)
def test_features_of_both_domains_have_to_vary_alike(target, source, rejected):
    given = {"features": features(target), "source_features": features(source, 30)}
    found = kx.CollapseGuard().problem(EVEN, **given)
    assert (found is not None) == rejected
    assert found is None or "more than 10 times apart" in found
    assert kx.CollapseGuard(max_variance_ratio=math.inf).problem(EVEN, **given) is None


def test_one_example_has_no_variance():
    given = {"features": features(), "source_features": [[1.0, 2.0, 3.0]]}
    assert kx.CollapseGuard().problem(EVEN, **given) is None


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"probabilities": np.full([3, 2], np.nan)}, "predictions"),
        ({"features": [[np.inf], [1.0]]}, "target features"),
        ({"source_features": [[np.nan], [1.0]]}, "source features"),
        ({"source_accuracy": math.nan}, "source accuracy"),
    ],
)
def test_what_is_no_number_is_rejected_by_any_guard(given, what):
    anything = kx.CollapseGuard(
        min_source_share=0, min_entropy_share=0, max_variance_ratio=math.inf
    )
    found = anything.problem(**({"probabilities": EVEN} | given))
    assert found == f"the {what} hold NaN or infinities"


def test_several_problems_are_all_told():
    guard = kx.CollapseGuard(source_only_accuracy=1)
    found = guard.problem(
        CONSTANT, features=features(0), source_features=features(), source_accuracy=0.3
    )
    assert len(found.split("; ")) == 3


@pytest.mark.parametrize(
    ("settings", "received"),
    [
        ({"source_only_accuracy": 1.5}, "source_only_accuracy=1.5"),
        ({"min_source_share": -0.1}, "min_source_share=-0.1"),
        ({"min_entropy_share": math.nan}, "min_entropy_share=nan"),
        ({"max_variance_ratio": 0.5}, "max_variance_ratio=0.5"),
        ({"rejected_score": math.nan}, "rejected_score=nan"),
        ({"class_prior": [0.5, 0.2]}, "adds up to 0.7"),
    ],
)
def test_settings_out_of_range_are_refused(settings, received):
    with pytest.raises(ValueError, match=f"Expected.*Received: .*{received}"):
        kx.CollapseGuard(**settings)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"each of 4 classes. Received: class_prior=\[0.5, 0.5\]"):
        kx.CollapseGuard(class_prior=[0.5, 0.5]).problem(EVEN)
    with pytest.raises(ValueError, match=r"Received: shape \(0, 4\)"):
        kx.CollapseGuard().problem(EVEN[:0])
    with pytest.raises(ValueError, match=r"`source_features` of shape .*Received: shape \(3,\)"):
        kx.CollapseGuard().problem(EVEN, features=features(), source_features=[1.0, 2.0, 3.0])


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        kx.CollapseGuard().min_source_share = 0.0
