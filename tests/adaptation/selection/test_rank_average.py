import math

import numpy as np
import pytest
from scipy import stats

import keras_transfer as kx


def test_means_of_ranks_equal_scipy():
    random = np.random.default_rng(0)
    table = random.integers(0, 5, (9, 4)).astype(float)  # with ties
    runs = {f"run {i}": dict(zip("abcd", row, strict=True)) for i, row in enumerate(table)}
    expected = np.mean([stats.rankdata(-column) for column in table.T], axis=0)
    found = kx.rank_average(runs)
    assert [found[f"run {i}"] for i in range(9)] == pytest.approx(expected)
    assert list(found.values()) == sorted(found.values())


def test_scales_of_scores_have_no_effect():
    runs = {"a": {"x": 1.0, "y": 2e9}, "b": {"x": 2.0, "y": 1e9}, "c": {"x": 3.0, "y": 3e9}}
    assert next(iter(kx.rank_average(runs))) == "c"


def test_of_equal_runs_the_first_wins():
    one, other = {"x": 1.0, "y": 2.0}, {"y": 1.0, "x": 2.0}
    assert list(kx.rank_average({"b": one, "a": other})) == ["b", "a"]
    assert list(kx.rank_average({"a": other, "b": one})) == ["a", "b"]


@pytest.mark.parametrize("wrong", [-math.inf, math.nan, math.inf])
def test_rejected_runs_are_never_chosen_and_do_not_count(wrong):
    runs = {
        "rejected": {"x": wrong, "y": 1e9},
        "a": {"x": 1.0, "y": 1.0},
        "b": {"x": 2.0, "y": 2.0},
    }
    assert kx.rank_average(runs) == {"b": 1.0, "a": 2.0}


def test_all_rejected_raises_or_takes_the_fallback():
    runs = {"source only": {"x": -math.inf}, "adapted": {"x": math.nan}}
    with pytest.raises(ValueError, match="not rejected.*`fallback`.*'source only': {'x': -inf}"):
        kx.rank_average(runs)
    assert kx.rank_average(runs, fallback="source only") == {"source only": 1.0}
    good = {**runs, "good": {"x": 1.0}}
    assert kx.rank_average(good, fallback="source only") == {"good": 1.0}


@pytest.mark.parametrize(
    ("runs", "fallback", "message"),
    [
        ({}, None, r"Received: runs \[\]"),
        ({"a": {"x": 1.0}}, "b", "fallback='b'"),
        ({"a": {}}, None, r"Received: \[\] for 'a'"),
        ({"a": {"x": 1.0}, "b": {"y": 1.0}}, None, r"Received: \['y'\] for 'b', after \['x'\]"),
        ({"a": {"x": 1.0, "oracle_target_accuracy": 1.0}}, None, "'oracle_target_accuracy'"),
    ],
)
def test_tables_that_cannot_be_ranked_are_refused(runs, fallback, message):
    with pytest.raises(ValueError, match=message):
        kx.rank_average(runs, fallback=fallback)
