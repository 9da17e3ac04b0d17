import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.self_training import confident, pseudo_labels

RANDOM = np.random.default_rng(0)
LOGITS, WEIGHTS = RANDOM.normal(scale=2, size=(30, 4)), RANDOM.uniform(size=30)


def softmax(z):
    exps = np.exp(z - z.max(-1, keepdims=True))
    return exps / exps.sum(-1, keepdims=True)


def chosen_by_loops(logits, weights, threshold, class_balanced):
    p = softmax(logits)
    chosen = []
    for row in p:
        needed = threshold
        if class_balanced:
            rivals = [
                other.max()
                for other, weight in zip(p, weights, strict=True)
                if other.argmax() == row.argmax() and weight > 0
            ]
            needed = max(threshold * max(rivals, default=0), (1 / len(row) + threshold) / 2)
        chosen.append(row.max() >= needed)
    return np.array(chosen)


@pytest.mark.parametrize("class_balanced", [False, True])
@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.95])
def test_choice_matches_loops(threshold, class_balanced):
    found = confident(tf.constant(LOGITS), tf.constant(WEIGHTS), threshold, class_balanced)
    expected = chosen_by_loops(LOGITS, WEIGHTS, threshold, class_balanced)
    np.testing.assert_array_equal(found.numpy().astype(bool), expected)
    assert expected.sum() > 0


@pytest.mark.parametrize("class_balanced", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_term_and_gradient_match_loops(temperature, class_balanced, domain, batch):
    source, target = domain(9, 0), domain(30, 1)
    target["logits"], target["weights"] = LOGITS, WEIGHTS
    one, other = batch(source), batch(target)
    method = kx.SelfTraining(0.7, temperature=temperature, class_balanced=class_balanced)
    with tf.GradientTape() as tape:
        tape.watch(other.logits)
        term = method.term(one, other)
    p = softmax(LOGITS)
    chosen = chosen_by_loops(LOGITS, WEIGHTS, 0.7, class_balanced)
    labels = softmax(LOGITS / temperature) if temperature else np.eye(4)[p.argmax(1)]
    shares = WEIGHTS * chosen / WEIGHTS.sum()
    expected = -sum(s * (q * np.log(r)).sum() for s, q, r in zip(shares, labels, p, strict=True))
    assert float(term) == pytest.approx(expected, rel=1e-5)
    gradient = tape.gradient(term, other.logits)
    np.testing.assert_allclose(gradient, shares[:, None] * (p - labels), rtol=1e-4, atol=1e-6)


def test_where_nobody_is_confident_term_and_gradient_are_0(domain, batch):
    source = batch(domain(9, 0))
    target = source._replace(logits=tf.random.normal([9, 4], stddev=0.01))
    for class_balanced in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(target.logits)
            term = kx.SelfTraining(0.9, class_balanced=class_balanced).term(source, target)
        assert float(term) == 0
        np.testing.assert_array_equal(tape.gradient(term, target.logits), np.zeros([9, 4]))


def test_an_easy_class_does_not_crowd_out_another():
    logits = tf.constant([[9.0, 0, 0], [8.0, 0, 0], [0, 1.4, 0], [0, 0.7, 0]])
    plain, balanced = (
        confident(logits, tf.ones(4), 0.9, class_balanced).numpy() for class_balanced in (0, 1)
    )
    assert plain.tolist() == [1, 1, 0, 0]
    assert balanced.tolist() == [1, 1, 1, 0]
    # The best of its class has .58, less than halfway from 1/3 to 0.9.
    undecided = tf.constant([[9.0, 0, 0], [0, 1.0, 0]])
    assert confident(undecided, tf.ones(2), 0.9, True).numpy().tolist() == [1, 0]


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_labels_are_constants_and_sum_to_1_for_extreme_logits(temperature):
    logits = tf.constant([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        labels = pseudo_labels(logits, temperature)
    np.testing.assert_allclose(tf.reduce_sum(labels, 1), [1, 1], rtol=1e-6)
    assert tape.gradient(labels, logits) is None


@pytest.mark.parametrize(
    ("settings", "match"),
    [({"threshold": 0}, "threshold=0"), ({"temperature": 1.0}, "temperature=1.0")],
)
def test_settings_out_of_range_raise(settings, match):
    with pytest.raises(ValueError, match=match):
        kx.SelfTraining(**settings)
