import numpy as np
import pytest

import keras_transfer as kx

CLASSES = 4


def predictions(right, seed, labels):
    """Probabilities of a run that is right about so many of the labels."""
    random = np.random.default_rng(seed)
    wrong = (labels + random.integers(1, CLASSES, len(labels))) % CLASSES
    chosen = np.where(random.random(len(labels)) < right, labels, wrong)
    return 0.6 * np.eye(CLASSES)[chosen] + 0.1


def test_scores_are_shares_of_agreement_with_the_mean():
    labels = np.random.default_rng(0).integers(0, CLASSES, 50)
    runs = {str(right): predictions(right, 10 + i, labels) for i, right in enumerate((0.9, 0.5))}
    together = [
        int(np.argmax([sum(runs[run][i, c] for run in runs) for c in range(CLASSES)]))
        for i in range(50)
    ]
    expected = {
        run: sum(int(np.argmax(runs[run][i])) == together[i] for i in range(50)) / 50
        for run in runs
    }
    assert kx.ensemble_scores(runs) == pytest.approx(expected)


def test_order_is_that_of_accuracies_unknown_to_it():
    labels = np.random.default_rng(1).integers(0, CLASSES, 2000)
    accuracies = (0.7, 0.6, 0.5, 0.4, 0.3)
    runs = {right: predictions(right, 10 + i, labels) for i, right in enumerate(accuracies)}
    scores = kx.ensemble_scores(runs)
    assert tuple(sorted(scores, key=scores.get, reverse=True)) == accuracies


def test_a_constant_run_agrees_little():
    labels = np.random.default_rng(2).integers(0, CLASSES, 500)
    runs = {str(i): predictions(0.6, i, labels) for i in range(4)}
    runs["constant"] = np.tile([[0.97, 0.01, 0.01, 0.01]], (500, 1))
    scores = kx.ensemble_scores(runs)
    assert min(scores, key=scores.get) == "constant"


@pytest.mark.parametrize(
    "runs", [{}, {"a": [[0.5, 0.5]], "b": [[0.5, 0.5]] * 2}, {"a": [[np.nan, 0.5]]}, {"a": [0.5]}]
)
def test_what_cannot_be_compared_is_refused(runs):
    with pytest.raises(ValueError, match="Received"):
        kx.ensemble_scores(runs)
