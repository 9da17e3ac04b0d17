import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

MARGIN = 2.0


def hinge(x, y, labels, other_labels, weights, other_weights):
    losses, counts = [], []
    for j in range(len(y)):
        same, different = [], []
        for i in range(len(x)):
            if weights[i] > 0 and labels[i].any() and other_labels[j].any():
                kind = same if labels[i].argmax() == other_labels[j].argmax() else different
                kind.append(((x[i] - y[j]) ** 2).sum())
        if same and different:
            losses.append(max(0, max(same) - min(different) + MARGIN))
            counts.append(other_weights[j])
    return np.average(losses, weights=counts)


def test_term_and_gradient_match_loops(domain, batch):
    source, target = domain(12, 0), domain(6, 1)
    target["labels"][2] = source["labels"][3] = 0  # no label
    source["weights"][4] = 0
    batches = batch(source), batch(target)
    with tf.GradientTape() as tape:
        tape.watch(batches[0].features[-1])
        term = kx.StochasticNeighborhoodEmbedding(MARGIN).term(*batches)
    gradient = tape.gradient(term, batches[0].features[-1]).numpy()
    rest = [one[name] for name in ("labels", "weights") for one in (source, target)]
    x, y = (one["features"][-1] for one in (source, target))
    assert float(term) == pytest.approx(hinge(x, y, *rest), rel=1e-5)
    for index in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-6
        difference = hinge(x + step, y, *rest) - hinge(x - step, y, *rest)
        assert gradient[index] == pytest.approx(difference / 2e-6, rel=1e-3, abs=1e-4)


def test_examples_without_pairs_of_both_kinds_add_nothing(domain, batch):
    source, target = domain(5, 0), domain(4, 1)
    source["labels"][:] = target["labels"][:] = [1, 0, 0, 0]
    term = kx.StochasticNeighborhoodEmbedding().term(batch(source), batch(target))
    assert float(term) == 0


def test_a_target_without_labels_raises(domain, batch):
    source = batch(domain(4, 0))
    with pytest.raises(ValueError, match="no labels of the target"):
        kx.StochasticNeighborhoodEmbedding().term(source, source._replace(labels=None))


def test_a_margin_out_of_range_raises():
    with pytest.raises(ValueError, match="margin=0"):
        kx.StochasticNeighborhoodEmbedding(0)
