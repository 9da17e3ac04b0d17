import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.centered_distances import centered_squared_distances
from keras_transfer.adaptation.methods.contrastive_semantic_alignment import (
    contrastive_alignment,
)

RANDOM = np.random.default_rng(0)
MARGIN = 2.0


def alignment(x, y, labels, other_labels, weights, other_weights):
    """In loops over pairs; labels may be shares of several classes, or none."""
    same = different = same_weight = different_weight = 0.0
    for i, j in np.ndindex(len(x), len(y)):
        distance = np.sqrt(((x[i] - y[j]) ** 2).sum())
        pair = weights[i] * other_weights[j]
        equal = pair * sum(a * b for a, b in zip(labels[i], other_labels[j], strict=True))
        unequal = pair * labels[i].sum() * other_labels[j].sum() - equal
        same += equal * distance**2 / 2
        different += unequal * max(0, MARGIN - distance) ** 2 / 2
        same_weight, different_weight = same_weight + equal, different_weight + unequal
    return same / same_weight + different / different_weight


def test_term_and_gradient_match_loops(domain, batch):
    source, target = domain(9, 0), domain(6, 1)
    target["labels"][2] = 0  # no label
    source["labels"][0] = [0.5, 0.5, 0, 0]
    batches = batch(source), batch(target)
    features = [one.features[-1] for one in batches]
    with tf.GradientTape() as tape:
        tape.watch(features)
        term = kx.ContrastiveSemanticAlignment(MARGIN).term(*batches)
    gradients = tape.gradient(term, features)
    rest = [one[name] for name in ("labels", "weights") for one in (source, target)]
    x, y = (one["features"][-1] for one in (source, target))
    assert float(term) == pytest.approx(alignment(x, y, *rest), rel=1e-5)
    for index in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-5
        difference = alignment(x + step, y, *rest) - alignment(x - step, y, *rest)
        assert gradients[0].numpy()[index] == pytest.approx(difference / 2e-5, rel=1e-2, abs=1e-4)


def test_equal_examples_have_a_finite_gradient_and_full_margin():
    x = tf.constant(RANDOM.normal(size=(4, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = contrastive_alignment(
            centered_squared_distances(x, x), tf.zeros([4, 4]), tf.eye(4), MARGIN
        )
    assert float(loss) == pytest.approx(MARGIN**2 / 2)
    np.testing.assert_array_equal(tape.gradient(loss, x), np.zeros([4, 3]))


def test_without_pairs_of_a_kind_the_other_remains():
    squares = tf.constant([[4.0]])
    one, none = tf.ones([1, 1]), tf.zeros([1, 1])
    assert float(contrastive_alignment(squares, one, none, 3.0)) == 2.0
    assert float(contrastive_alignment(squares, none, one, 3.0)) == 0.5
    assert float(contrastive_alignment(squares, none, none, 3.0)) == 0.0


def test_a_target_without_labels_raises(domain, batch):
    source = batch(domain(4, 0))
    with pytest.raises(ValueError, match="no labels of the target"):
        kx.ContrastiveSemanticAlignment().term(source, source._replace(labels=None))


def test_a_margin_out_of_range_raises():
    with pytest.raises(ValueError, match="margin=0"):
        kx.ContrastiveSemanticAlignment(0)
