"""Pictures of features: what is drawn, and that odd features do no harm."""

import warnings

import numpy as np
import pytest
from PIL import Image

from keras_transfer.evaluation.domain_pictures import plane, save_domains

RANDOM = np.random.default_rng(0)


def panel(source=40, target=30, width=8):
    features = {"source": RANDOM.normal(size=(source, width)), "labels": np.arange(source) % 3}
    return features | {"target": RANDOM.normal(3, size=(target, width))}


def size(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.parametrize(
    "classes", [3, *(pytest.param(x, marks=pytest.mark.slow) for x in (15, 40))]
)
def test_picture_has_a_panel_for_each_model(tmp_path, classes):
    names = [f"class {label}" for label in range(classes)]
    save_domains({"before": panel(), "after": panel()}, names, tmp_path / "two.png")
    save_domains({"before": panel()}, names, tmp_path / "one.png")
    (wide, height), (narrow, other) = (size(tmp_path / f"{name}.png") for name in ("two", "one"))
    assert wide > 1.5 * narrow
    assert height == other


def test_few_examples_are_in_the_plane_of_their_largest_variance():
    features = RANDOM.normal(size=(12, 5)) * [9, 1, 4, 1, 1]
    values, vectors = np.linalg.eigh(np.cov(features.T))
    expected = (features - features.mean(0)) @ vectors[:, np.argsort(-values)[:2]]
    np.testing.assert_allclose(np.abs(plane(features)), np.abs(expected), atol=1e-9)


def test_separate_groups_stay_apart_and_the_picture_is_the_same_again():
    features = np.concatenate([RANDOM.normal(size=(40, 6)), RANDOM.normal(20, size=(40, 6))])
    points = plane(features)
    one, other = points[:40], points[40:]
    spread = max(group.std(0).max() for group in (one, other))
    assert np.linalg.norm(one.mean(0) - other.mean(0)) > 2 * spread
    np.testing.assert_array_equal(plane(features), points)


@pytest.mark.parametrize("shape", [(40, 6), (40, 1), (3, 1)])
def test_features_without_variance_are_drawn(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plane(np.ones(shape)).shape == (shape[0], 2)
        assert np.isfinite(plane(np.arange(shape[0])[:, None] * np.ones(shape))).all()
