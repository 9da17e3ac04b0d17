import numpy as np
import pytest

from keras_transfer.training.learning_rate_curve import LearningRateCurve

RATES = np.geomspace(1e-7, 10, 100)
PLACE = np.log10(RATES)


def curve(losses, smoothing=0.4, diverged=True):
    losses = np.asarray(losses, "float64")
    return LearningRateCurve(RATES[: len(losses)], losses, smoothing, diverged)


def valley(center, noise, seed):
    """Falls fastest at 10 ** center, is lowest a decade above it, then explodes."""
    falling = 3.2 - 1.8 / (1 + np.exp(-(PLACE - center) / 0.25))
    exploding = 10 ** (3 * (PLACE - center - 1.2))
    losses = falling + exploding + noise * np.random.default_rng(seed).normal(size=100)
    return losses[: int((losses < 1000).sum())]


@pytest.mark.parametrize("center", [-4.5, -3.0, -2.0])
def test_suggestion_is_half_way_from_the_steepest_to_the_lowest_point(center):
    for noise, seed in ((0.0, 0), (0.1, 0), (0.3, 0), (0.3, 1), (0.3, 2)):
        found = curve(valley(center, noise, seed))
        assert abs(np.log10(found.steepest) - center) < 0.45
        assert abs(np.log10(found.minimum) - (center + 0.85)) < 0.45
        half_way = (np.log10(found.steepest) + np.log10(found.minimum)) / 2
        assert np.log10(found.suggestion) == pytest.approx(half_way)
        assert found.problem is None


def test_smoothing_is_a_gaussian_mean_over_powers_of_ten():
    losses = np.random.default_rng(0).normal(3, 0.1, 100)
    distance = np.subtract.outer(PLACE, PLACE)
    weights = np.exp(-0.5 * (distance / 0.3) ** 2)
    expected = weights @ losses / weights.sum(1)
    np.testing.assert_allclose(curve(losses, 0.3).smoothed, expected)


def test_an_explosion_at_the_end_does_not_drown_the_rest():
    losses = valley(-3.0, 0.1, 0)
    calm, exploded = curve(losses), curve([*losses[:-1], 1e9])
    assert abs(np.log(exploded.suggestion / calm.suggestion)) < 0.5


@pytest.mark.parametrize("trend", [0.0, 0.2], ids=["flat", "rising"])
def test_no_suggestion_where_the_loss_never_falls(trend):
    for seed in range(10):
        noise = np.random.default_rng(seed).normal(size=100)
        found = curve(3 + 0.3 * noise + trend * np.arange(100), diverged=trend > 0)
        assert found.suggestion is None
        assert "never clearly fell" in found.problem
        assert ("lower `low`" in found.problem) == (trend > 0)


def test_losses_that_rise_without_noise_give_no_suggestion():
    assert curve(np.exp(np.arange(50))).suggestion is None
    assert curve(np.ones(50)).suggestion is None


def test_edges_of_the_range_are_named():
    falling = 3.2 - 1.8 / (1 + np.exp(-(PLACE - 1) / 0.25))
    assert "still falling at 1.0e+01" in curve(falling, diverged=False).problem
    early = np.concatenate([3 * np.exp(-np.arange(40) / 15), 0.2 * np.arange(1, 20)])
    assert "the start of the range: lower `low`" in curve(early).problem


def test_negative_losses_are_curves_too():
    found = curve(valley(-3.0, 0.1, 0) - 10)
    assert abs(np.log10(found.steepest) + 3) < 0.45


@pytest.mark.parametrize("losses", [valley(-3.0, 0.1, 0), np.arange(9.0)])
def test_plot_is_a_picture_and_the_text_names_the_suggestion(losses, tmp_path):
    found = curve(losses)
    found.plot(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    expected = "none" if found.suggestion is None else f"{found.suggestion:.1e}"
    assert repr(found).endswith(f"suggestion {expected})")
