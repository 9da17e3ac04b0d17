import math

import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.adaptation.methods.entropy import entropy


def test_entropy_matches_loops():
    logits = np.random.default_rng(0).normal(scale=3, size=(6, 4))
    for row, found in zip(logits, entropy(tf.constant(logits)).numpy(), strict=True):
        p = [math.exp(z) / sum(math.exp(other) for other in row) for z in row]
        assert found == pytest.approx(-sum(x * math.log(x) for x in p))


def test_bounds_and_extreme_logits_with_their_gradient():
    logits = tf.constant([[0.0, 0, 0], [1e4, 0, -1e4]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = entropy(logits)
    np.testing.assert_allclose(found, [math.log(3), 0], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(found, logits), np.zeros([2, 3]), atol=1e-6)
