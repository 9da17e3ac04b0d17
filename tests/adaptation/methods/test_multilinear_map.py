import numpy as np

from keras_transfer.adaptation.methods.multilinear_map import (
    multilinear_map,
    random_multilinear_map,
)

RANDOM = np.random.default_rng(0)
F, G = RANDOM.normal(size=(5, 3)), RANDOM.uniform(size=(5, 4))


def test_multilinear_map_matches_loops():
    found = np.asarray(multilinear_map(F, G))
    assert found.shape == (5, 12)
    for n in range(5):
        products = [F[n, i] * G[n, j] for i in range(3) for j in range(4)]
        np.testing.assert_allclose(found[n], products)


def test_random_multilinear_map_matches_loops():
    one, other = RANDOM.normal(size=(3, 6)), RANDOM.normal(size=(4, 6))
    found = np.asarray(random_multilinear_map(F, G, one, other))
    for n in range(5):
        for d in range(6):
            left = sum(F[n, i] * one[i, d] for i in range(3))
            right = sum(G[n, j] * other[j, d] for j in range(4))
            np.testing.assert_allclose(found[n, d], left * right / 6**0.5)


def test_random_inner_products_are_near_those_of_all_products():
    size = 100_000
    one, other = RANDOM.normal(size=(3, size)), RANDOM.normal(size=(4, size))
    all_of_them = np.asarray(multilinear_map(F, G))
    found = np.asarray(random_multilinear_map(F, G, one, other))
    expected = all_of_them @ all_of_them.T
    np.testing.assert_allclose(found @ found.T, expected, atol=0.05 * np.abs(expected).max())
