import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx


def softplus(z):
    return np.log1p(np.exp(z))


def test_term_and_reversed_gradient_match_numpy(domain, batch, prepared):
    method = prepared(kx.DomainAdversarial([]))  # logits are features @ kernel + bias
    kernel, bias = (weight.numpy().astype("float64") for weight in method.weights)
    arrays = domain(9, 0), domain(6, 1)
    batches = [batch(one) for one in arrays]
    with tf.GradientTape() as tape:
        tape.watch([one.features[-1] for one in batches])
        term = method.term(*batches)
    variables = [weight.value for weight in method.trainable_weights]
    found = tape.gradient(term, [*(one.features[-1] for one in batches), *variables])
    logits = [(one["features"][-1] @ kernel + bias)[:, 0] for one in arrays]
    shares = [one["weights"] / one["weights"].sum() / 2 for one in arrays]
    expected = shares[0] @ softplus(-logits[0]) + shares[1] @ softplus(logits[1])
    assert float(term) == pytest.approx(expected, rel=1e-5)
    # d softplus(-z) / dz = -sigmoid(-z), d softplus(z) / dz = sigmoid(z)
    slopes = [-shares[0] / (1 + np.exp(logits[0])), shares[1] / (1 + np.exp(-logits[1]))]
    of_kernel = 0
    for one, gradient, slope in zip(arrays, found, slopes, strict=False):
        np.testing.assert_allclose(gradient, -np.outer(slope, kernel), rtol=1e-4, atol=1e-6)
        of_kernel += one["features"][-1].T @ slope[:, None]
    np.testing.assert_allclose(found[2], of_kernel, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[3], [sum(map(sum, slopes))], rtol=1e-4, atol=1e-6)


def test_steps_make_the_discriminator_better_at_fixed_features(domain, batch, prepared):
    method = prepared(kx.DomainAdversarial([16]))
    batches = batch(domain(40, 0)), batch(domain(30, 1, shift=1.0))
    terms = []
    for _ in range(60):
        with tf.GradientTape() as tape:
            terms.append(method.term(*batches))
        variables = [weight.value for weight in method.trainable_weights]
        for variable, gradient in zip(variables, tape.gradient(terms[-1], variables), strict=True):
            variable.assign_sub(0.3 * gradient)
    assert terms[-1] < 0.35 < 0.6 < terms[0]


def test_features_that_follow_the_gradient_are_harder_to_tell_apart(domain, batch, prepared):
    method = prepared(kx.DomainAdversarial([]))
    kernel = method.weights[0].numpy()[:, 0]
    source, target = batch(domain(9, 0)), batch(domain(6, 1))
    with tf.GradientTape() as tape:
        tape.watch(source.features[-1])
        term = method.term(source, target)
    step = -tape.gradient(term, source.features[-1]).numpy()
    # Descending moves source examples to where the discriminator says "target": downwards.
    assert (step @ kernel < 0).all()
