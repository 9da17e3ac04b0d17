import numpy as np
import pytest

from keras_transfer.search.record.importance import MIN_TRIALS, importances
from keras_transfer.search.record.parameters import Parameter
from keras_transfer.search.record.records import SearchRecord, TrialRecord

RANGE = {"values": None, "low": 0.0, "high": 1.0, "is_log": False}
PARAMETERS = [
    Parameter("a", conditional=False, **RANGE),
    Parameter("b", None, 1e-4, 1.0, True, False),
    Parameter("kind", ("x", "y", "z"), None, None, False, False),
    Parameter("only_x", conditional=True, **RANGE),
    Parameter("idle", conditional=False, **RANGE),
]


def search(count, score, seed=0):
    """Trials drawn evenly from the space, with a score that is a function of their values."""
    random = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        values = {"a": random.random(), "b": 10 ** random.uniform(-4, 0), "idle": random.random()}
        values["kind"] = str(random.choice(["x", "y", "z"]))
        if values["kind"] == "x":
            values["only_x"] = random.random()
        trials.append(TrialRecord(str(number), values, "finished", score(values), 1, {}, "", ""))
    return SearchRecord("score", True, "Random", PARAMETERS, trials, 1.0, count, None)


def test_shares_are_those_of_the_variances_of_a_sum():
    # Variances of even draws: 9 / 12, 4 / 12 by its logarithm between 0 and 1, and nothing.
    found = importances(search(150, lambda x: 3 * x["a"] + 2 * (1 + np.log10(x["b"]) / 4)))
    assert found.shares["a"] == pytest.approx(9 / 13, abs=0.08)
    assert found.shares["b"] == pytest.approx(4 / 13, abs=0.08)
    assert found.shares["idle"] < 0.02
    assert found.shares["kind"] < 0.02
    assert found.explained > 0.9
    for name, (low, high) in found.ranges.items():
        assert low <= high
        assert low - 0.05 < found.shares[name] < high + 0.05


def test_what_a_condition_does_is_not_told_of_what_depends_on_it():
    found = importances(search(100, lambda x: float(x["kind"] == "x")))
    assert found.shares["kind"] > 0.9
    assert found.shares["only_x"] < 0.02


def test_what_only_some_have_counts_among_these():
    found = importances(search(150, lambda x: x.get("only_x", 0.5)))
    assert found.shares["only_x"] > 0.8
    assert max(found.shares[name] for name in ("a", "b", "idle")) < 0.05


def test_noise_is_told_by_what_the_forest_explains():
    random = np.random.default_rng(1)
    assert importances(search(60, lambda _: random.random())).explained < 0.1


def test_few_trials_or_equal_scores_tell_nothing():
    assert importances(search(MIN_TRIALS - 1, lambda x: x["a"])) is None
    assert importances(search(30, lambda _: 1.0)) is None
    assert importances(search(MIN_TRIALS, lambda x: x["a"])) is not None
