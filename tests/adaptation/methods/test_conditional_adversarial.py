import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.conditional_adversarial import certainty_weights


def softmax(z):
    exps = np.exp(z - z.max(-1, keepdims=True))
    return exps / exps.sum(-1, keepdims=True)


def expected_term(method, source, target, conditioning):
    kernel, bias = (weight.numpy().astype("float64") for weight in method.weights[:2])
    total = 0.0
    for sign, domain in ((-1, source), (1, target)):
        losses, weights = [], []
        for n, p in enumerate(softmax(domain["logits"])):
            z = np.outer(domain["features"][-1][n], p).ravel() @ kernel[:, 0] + bias[0]
            losses.append(np.log1p(np.exp(sign * z)))
            certainty = 1 + np.exp((p * np.log(p)).sum())
            weights.append(domain["weights"][n] * (certainty if conditioning else 1))
        total += np.average(losses, weights=weights) / 2
    return total


@pytest.mark.parametrize("conditioning", [False, True])
def test_term_matches_loops(conditioning, domain, batch, prepared):
    method = prepared(kx.ConditionalAdversarial([], entropy_conditioning=conditioning))
    source, target = domain(9, 0), domain(6, 1)
    found = method.term(batch(source), batch(target))
    assert float(found) == pytest.approx(
        expected_term(method, source, target, conditioning), rel=1e-5
    )


def test_gradient_goes_to_features_and_neither_to_probabilities_nor_weights(
    domain, batch, prepared
):
    method = prepared(kx.ConditionalAdversarial([4]))
    source, target = batch(domain(9, 0)), batch(domain(6, 1))
    with tf.GradientTape() as tape:
        tape.watch([source.features[-1], source.logits])
        term = method.term(source, target)
    of_features, of_logits = tape.gradient(term, [source.features[-1], source.logits])
    assert np.abs(of_features).max() > 0
    assert of_logits is None


def test_certainty_weights_go_from_1_to_2_and_extreme_logits_are_certain():
    found = certainty_weights(tf.constant([[1e4, 0.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [2, 1.5])


@pytest.mark.parametrize(("width", "shapes"), [(1024, 0), (1025, 2)])
def test_many_products_go_through_random_matrices_that_are_not_trained(width, shapes):
    method = kx.ConditionalAdversarial([2], random_width=16)
    method.prepare([3, width], 4, None)
    assert [tuple(weight.shape) for weight in method.non_trainable_weights] == [
        (1025, 16),
        (4, 16),
    ][:shapes]
    first = method.trainable_weights[0]
    assert first.shape == ((16, 2) if shapes else (4096, 2))


def test_random_matrices_are_of_variance_1_and_saved(batch, domain, tmp_path):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.method = kx.ConditionalAdversarial([8], random_width=64)
            self.method._MOST_PRODUCTS = 10
            self.method.prepare([7, 6], 4, None)
            self.built = True

    model, other = Model(), Model()
    matrix = model.method.matrices[0].numpy()
    assert abs(matrix.std() - 1) < 0.2
    assert (matrix != other.method.matrices[0].numpy()).any()
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    batches = batch(domain(9, 0)), batch(domain(6, 1))
    np.testing.assert_array_equal(model.method.term(*batches), other.method.term(*batches))


def test_a_width_out_of_range_raises():
    with pytest.raises(ValueError, match="random_width=0"):
        kx.ConditionalAdversarial(random_width=0)
