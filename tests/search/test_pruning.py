import math

import numpy as np
import pytest

import keras_transfer as kx

CURVES = np.cumsum(np.random.default_rng(0).uniform(0, 0.2, (12, 9)), axis=1)


def survivors(pruner, curves):
    """How many epochs each curve gets, the trials one after the other."""
    trained = []
    for curve in curves:
        epochs = next(
            (n for n in range(1, len(curve) + 1) if pruner.prunes(curve[:n], trained)), len(curve)
        )
        trained.append(list(curve[:epochs]))
    return [len(curve) for curve in trained]


def test_median_ends_what_is_below_the_median_of_running_means():
    pruner = kx.MedianPruner(warmup_epochs=1, min_trials=3)
    others = [[0.1, 0.9], [0.4, 0.4], [0.2, 0.6, 0.9]]
    # Means over two epochs: 0.5, 0.4, 0.4.
    assert pruner.prunes([0.0, 0.39], others)
    assert not pruner.prunes([0.0, 0.4], others)
    assert not pruner.prunes([0.41, 0.1], others)


def test_median_waits_for_epochs_and_for_trials():
    others = [[0.9] * 5] * 4
    assert not kx.MedianPruner(warmup_epochs=2, min_trials=4).prunes([0.0, 0.0], others)
    assert kx.MedianPruner(warmup_epochs=2, min_trials=4).prunes([0.0] * 3, others)
    assert not kx.MedianPruner(warmup_epochs=2, min_trials=5).prunes([0.0] * 3, others)
    # Those that have not come so far do not count.
    assert not kx.MedianPruner(warmup_epochs=2, min_trials=4).prunes([0.0] * 6, others)


def test_halving_compares_at_growing_epochs_alone():
    pruner = kx.SuccessiveHalving(min_epochs=2, factor=3)
    others = [[1.0] * 30] * 5
    ended = [n for n in range(1, 30) if pruner.prunes([0.0] * n, others)]
    assert ended == [2, 6, 18]


@pytest.mark.parametrize("factor", [2, 3, 1.5])
def test_halving_lets_the_best_share_of_those_so_far_go_on(factor):
    pruner = kx.SuccessiveHalving(min_epochs=1, factor=factor)
    values = np.random.default_rng(1).permutation(20) / 20
    for count in range(1, 21):
        seen = values[:count]
        kept = max(1, int(count / factor))
        expected = sorted(seen, reverse=True)[kept - 1]
        others = [[value] for value in seen[:-1]]
        assert pruner.prunes([seen[-1]], others) == (seen[-1] < expected)


def test_halving_saves_epochs_and_keeps_the_best():
    full = CURVES.shape[1]
    epochs = survivors(kx.SuccessiveHalving(factor=3), CURVES)
    assert sum(epochs) < 0.6 * full * len(CURVES)
    assert full in epochs


def test_patience_ends_what_does_not_get_better():
    pruner = kx.Patience(epochs=2, min_delta=0.1)
    assert not pruner.prunes([0.5, 0.4], [])
    assert pruner.prunes([0.5, 0.4, 0.6], [])
    assert not pruner.prunes([0.5, 0.4, 0.61], [])


@pytest.mark.parametrize(
    "pruner",
    [kx.MedianPruner(0, 1), kx.SuccessiveHalving(), kx.Patience(1)],
    ids=lambda pruner: type(pruner).__name__,
)
def test_nan_is_the_worst(pruner):
    assert pruner.prunes([0.1, math.nan], [[0.5, 0.5]] * 5) or pruner.prunes(
        [math.nan], [[0.5], [0.4], [0.6]]
    )
    assert not pruner.prunes([0.9], [[math.nan]] * 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kx.MedianPruner(warmup_epochs=-1), "warmup_epochs"),
        (lambda: kx.MedianPruner(min_trials=0), "min_trials"),
        (lambda: kx.SuccessiveHalving(min_epochs=0), "min_epochs"),
        (lambda: kx.SuccessiveHalving(factor=1), "factor"),
        (lambda: kx.Patience(epochs=0), "epochs"),
        (lambda: kx.Patience(min_delta=-0.1), "min_delta"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
