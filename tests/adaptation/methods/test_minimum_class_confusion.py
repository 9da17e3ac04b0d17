import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.minimum_class_confusion import class_confusion

RANDOM = np.random.default_rng(0)
LOGITS, WEIGHTS = RANDOM.normal(scale=3, size=(7, 4)), RANDOM.uniform(size=7)


def confusion(logits, weights, temperature):
    """The definition in loops; the certainty of the examples as given, for differences."""
    n, classes = logits.shape
    p = np.exp(logits / temperature)
    p /= p.sum(1, keepdims=True)
    matrix = np.zeros((classes, classes))
    for i in range(n):
        for j in range(classes):
            for k in range(classes):
                matrix[j, k] += weights[i] * p[i, j] * p[i, k]
    off = sum(
        matrix[j, k] / matrix[j].sum() for j in range(classes) for k in range(classes) if j != k
    )
    return off / classes


def certainty(logits, temperature):
    p = np.exp(logits / temperature)
    p /= p.sum(1, keepdims=True)
    return 1 + np.exp((p * np.log(p)).sum(1))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_class_confusion_and_gradient_match_loops(temperature):
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = class_confusion(logits, tf.constant(WEIGHTS), temperature)
    gradient = tape.gradient(found, logits).numpy()
    counts = WEIGHTS * certainty(LOGITS, temperature)
    assert float(found) == pytest.approx(confusion(LOGITS, counts, temperature), rel=1e-5)
    for i, j in np.ndindex(7, 4):
        step = np.zeros_like(LOGITS)
        step[i, j] = 1e-5
        difference = confusion(LOGITS + step, counts, temperature)
        difference -= confusion(LOGITS - step, counts, temperature)
        assert gradient[i, j] == pytest.approx(difference / 2e-5, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("gap", [30.0, 100.0, 200.0, 240.0, 1e4])
def test_classes_that_underflow_give_finite_values_and_gradients(gap):
    logits = tf.constant([[0.0, 0, -gap], [1, -1, -gap]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = class_confusion(logits, tf.ones(2))
    assert np.isfinite(found)
    assert np.isfinite(tape.gradient(found, logits)).all()


def test_certain_predictions_have_no_confusion_and_undecided_ones_most():
    certain = 1e3 * np.eye(3)[[0, 1, 2, 0]]
    assert float(class_confusion(tf.constant(certain), tf.ones(4, "float64"))) < 1e-6
    undecided = class_confusion(tf.zeros([4, 3]), tf.ones(4))
    assert float(undecided) == pytest.approx(2 / 3)


def test_a_temperature_out_of_range_raises():
    with pytest.raises(ValueError, match="temperature=0"):
        kx.MinimumClassConfusion(temperature=0)
