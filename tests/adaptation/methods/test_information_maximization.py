import math

import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.information_maximization import marginal_entropy


def softmax(z):
    exps = np.exp(z - z.max(-1, keepdims=True))
    return exps / exps.sum(-1, keepdims=True)


def information(logits, weights, diversity):
    p, total = softmax(logits), weights.sum()
    certain = -sum(w * (row * np.log(row)).sum() for w, row in zip(weights, p, strict=True))
    mean = sum(w * row for w, row in zip(weights, p, strict=True)) / total
    return certain / total + diversity * (mean * np.log(mean)).sum()


@pytest.mark.parametrize("diversity", [0.0, 0.5, 1.0])
def test_term_and_gradient_match_loops(diversity, domain, batch):
    source, target = domain(9, 0), domain(6, 1)
    one, other = batch(source), batch(target)
    with tf.GradientTape() as tape:
        tape.watch(other.logits)
        term = kx.InformationMaximization(diversity).term(one, other)
    gradient = tape.gradient(term, other.logits).numpy()
    logits, weights = target["logits"], target["weights"]
    expected = information(logits, weights, diversity)
    assert float(term) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    for i, j in np.ndindex(*logits.shape):
        step = np.zeros_like(logits)
        step[i, j] = 1e-5
        difference = information(logits + step, weights, diversity)
        difference -= information(logits - step, weights, diversity)
        assert gradient[i, j] == pytest.approx(difference / 2e-5, rel=1e-3, abs=1e-5)


def test_certain_and_diverse_is_best_and_collapse_is_not(domain, batch):
    method, source = kx.InformationMaximization(), batch(domain(4, 0))

    def term(rows):
        return float(method.term(source, source._replace(logits=tf.constant(rows, tf.float32))))

    source = source._replace(weights=tf.ones(4))
    assert term(1e4 * np.eye(4)) == pytest.approx(-math.log(4))
    assert term(np.tile([1e4, 0, 0, 0], (4, 1))) == pytest.approx(0, abs=1e-6)
    assert term(np.zeros([4, 4])) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("gap", [50.0, 80.0, 95.0, 100.0, 110.0, 1e4])
def test_classes_that_underflow_give_finite_gradients(gap):
    logits = tf.constant([[0.0, 0, -gap], [1, -1, -gap]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = marginal_entropy(logits, tf.ones(2))
    assert np.isfinite(found)
    assert np.isfinite(tape.gradient(found, logits)).all()


def test_a_diversity_below_0_raises():
    with pytest.raises(ValueError, match="diversity=-1"):
        kx.InformationMaximization(-1)
