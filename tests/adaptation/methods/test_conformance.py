"""What holds of every method; a new one is one more row."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.feature_alignment import FeatureAlignment

METHODS = {
    "batch nuclear norm": lambda: kx.BatchNuclearNorm(),
    "conditional adversarial": lambda: kx.ConditionalAdversarial([8], entropy_conditioning=False),
    "conditional adversarial, entropy": lambda: kx.ConditionalAdversarial([8]),
    "contrastive": lambda: kx.ContrastiveSemanticAlignment(margin=3.0),
    "coral": lambda: FeatureAlignment(kx.DeepCoral()),
    "domain adversarial": lambda: kx.DomainAdversarial([8, 5]),
    "entropy minimization": lambda: kx.InformationMaximization(diversity=0),
    "information maximization": lambda: kx.InformationMaximization(),
    "joint mmd": lambda: kx.JointMMD(kernels=3),
    "joint mmd, biased": lambda: kx.JointMMD(estimator="biased"),
    "local mmd": lambda: kx.LocalMMD(),
    "local mmd, biased": lambda: kx.LocalMMD(bandwidth="median", estimator="biased"),
    "minimax entropy": lambda: kx.MinimaxEntropy(temperature=0.5),
    "minimum class confusion": lambda: kx.MinimumClassConfusion(),
    "mmd": lambda: FeatureAlignment(kx.MaximumMeanDiscrepancy()),
    "mmd, biased": lambda: FeatureAlignment(
        kx.MaximumMeanDiscrepancy(kernel="laplacian", estimator="biased")
    ),
    "random fourier mmd": lambda: FeatureAlignment(kx.RandomFourierMMD(64)),
    "reconstruction": lambda: kx.Reconstruction(include_source=True),
    "neighborhood": lambda: kx.StochasticNeighborhoodEmbedding(margin=9.0),
    "self-training": lambda: kx.SelfTraining(threshold=0.6, class_balanced=False),
    "self-training, balanced": lambda: kx.SelfTraining(threshold=0.6, temperature=0.5),
}


# What is switched off for a batch is 0, and says so.
switched_off = pytest.mark.filterwarnings(
    "ignore:.*is switched off for a batch", "ignore:Expected at least 2 examples"
)


@pytest.fixture(params=METHODS)
def method(request, prepared):
    return prepared(METHODS[request.param]())


@pytest.fixture
def domains(domain):
    return domain(9, 0), domain(6, 1, shift=0.5)


def take(arrays, rows):
    return keras.tree.map_structure(lambda x: x[rows], arrays)


def watched(*batches):
    return [tensor for one in batches for tensor in (*one.features, one.logits)]


def value_and_gradients(method, *batches):
    with tf.GradientTape() as tape:
        tape.watch(watched(*batches))
        term = method.term(*batches)
    zero = tf.UnconnectedGradients.ZERO
    return term, tape.gradient(term, watched(*batches), unconnected_gradients=zero)


def without_labels(method, target):
    return target if method.needs_target_labels else target._replace(labels=None)


def make(batch, method, source, target):
    return batch(source), without_labels(method, batch(target))


def assert_finite(term, gradients):
    assert term.dtype == "float32"
    assert term.shape == ()
    assert all(np.isfinite(array).all() for array in (term, *gradients))


def test_term_is_a_finite_float32_scalar_with_some_gradient(method, domains, batch):
    term, gradients = value_and_gradients(method, *make(batch, method, *domains))
    assert_finite(term, gradients)
    assert any(np.abs(gradient).max() > 1e-4 for gradient in gradients)


@switched_off
@pytest.mark.parametrize("factor", [0.0, 1e4])
def test_extreme_features_and_logits_are_finite(factor, method, domains, batch):
    source, target = (
        domain | {"features": tuple(factor * x for x in domain["features"])} for domain in domains
    )
    for one in (source, target):
        one["logits"] = factor * one["logits"]
    assert_finite(*value_and_gradients(method, *make(batch, method, source, target)))


@switched_off
@pytest.mark.parametrize("sizes", [(1, 1), (1, 6), (9, 1)])
def test_one_example_is_enough(sizes, method, domains, batch):
    fewer = [take(domain, slice(size)) for domain, size in zip(domains, sizes, strict=True)]
    assert_finite(*value_and_gradients(method, *make(batch, method, *fewer)))


def test_one_class_alone_is_finite(method, domains, batch):
    for one in domains:
        one["logits"] = np.tile([50.0, 0, 0, 0], (len(one["logits"]), 1))
        one["labels"] = np.tile([1.0, 0, 0, 0], (len(one["logits"]), 1))
    assert_finite(*value_and_gradients(method, *make(batch, method, *domains)))


@switched_off
@pytest.mark.parametrize("empty", [(0,), (1,), (0, 1)])
def test_domains_without_weight_are_finite(empty, method, domains, batch):
    for number in empty:
        domains[number]["weights"] *= 0
    assert_finite(*value_and_gradients(method, *make(batch, method, *domains)))


def test_the_order_of_examples_does_not_matter(method, domains, batch):
    random = np.random.default_rng(2)
    orders = [random.permutation(len(one["weights"])) for one in domains]
    shuffled = [take(one, order) for one, order in zip(domains, orders, strict=True)]
    term, gradients = value_and_gradients(method, *make(batch, method, *domains))
    same, others = value_and_gradients(method, *make(batch, method, *shuffled))
    np.testing.assert_allclose(same, term, rtol=1e-5, atol=1e-6)
    for number, (one, other) in enumerate(zip(gradients, others, strict=True)):
        order = orders[number // (len(gradients) // 2)]
        np.testing.assert_allclose(other, one.numpy()[order], rtol=1e-4, atol=1e-5)


def test_examples_of_weight_0_are_as_absent(method, domains, batch, domain):
    absent = [domain(3, 3, shift=2.0) | {"weights": np.zeros(3)}, domain(5, 4)]
    absent[1]["weights"] *= 0
    padded = [
        keras.tree.map_structure(lambda *parts: np.concatenate(parts), one, more)
        for one, more in zip(domains, absent, strict=True)
    ]
    term, gradients = value_and_gradients(method, *make(batch, method, *domains))
    same, others = value_and_gradients(method, *make(batch, method, *padded))
    np.testing.assert_allclose(same, term, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(other[: len(one)], one, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(other[len(one) :], 0, atol=1e-6)


def test_a_common_factor_of_the_weights_does_not_matter(method, domains, batch):
    term = method.term(*make(batch, method, *domains))
    for one in domains:
        one["weights"] *= 4
    expected = term / 2 if isinstance(method, kx.BatchNuclearNorm) else term
    np.testing.assert_allclose(
        method.term(*make(batch, method, *domains)), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.slow
def test_compiled_graphs_of_unknown_batch_sizes_give_the_same(method, domains, batch):
    tensors = keras.tree.map_structure(lambda x: tf.cast(x, tf.float32), list(domains))
    signature = keras.tree.map_structure(
        lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype), tensors
    )

    def run(source, target):
        return value_and_gradients(method, *make(batch, method, source, target))

    for layer in method._flatten_layers():
        layer.supports_jit = True  # those that print a warning do without
    compiled = tf.function(run, input_signature=signature, jit_compile=True)
    term, gradients = run(*tensors)
    same, others = compiled(*tensors)
    np.testing.assert_allclose(same, term, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", METHODS)
def test_terms_are_in_float32_under_any_policy(policy, name, prepared, domains, batch):
    method = prepared(METHODS[name]())
    keras.config.set_dtype_policy(policy)
    mixed = prepared(METHODS[name]())
    mixed.set_weights(method.get_weights())
    batches = make(batch, method, *domains)
    assert all(weight.dtype == "float32" for weight in mixed.trainable_weights)
    np.testing.assert_array_equal(mixed.term(*batches), method.term(*batches))


def test_config_makes_the_same_method(method, domains, batch, prepared):
    same = prepared(type(method).from_config(method.get_config()))
    assert same.get_config() == method.get_config()
    assert same.name == method.name
    same.set_weights(method.get_weights())
    batches = make(batch, method, *domains)
    np.testing.assert_array_equal(same.term(*batches), method.term(*batches))


class Model(keras.Model):
    def __init__(self, method):
        super().__init__()
        self.method = method
        self.built = True


@pytest.mark.parametrize("name", METHODS)
def test_weights_are_saved_and_loaded(name, prepared, domains, batch, tmp_path):
    method, other = (prepared(METHODS[name]()) for _ in range(2))
    file = tmp_path / "model.weights.h5"
    Model(method).save_weights(file)
    Model(other).load_weights(file)
    batches = make(batch, method, *domains)
    np.testing.assert_array_equal(other.term(*batches), method.term(*batches))


def test_every_public_method_has_a_row():
    from keras_transfer.adaptation.methods.method import Method

    public = {
        name
        for name in kx.__all__
        if isinstance(getattr(kx, name), type) and issubclass(getattr(kx, name), Method)
    }
    assert public - {"Method"} == {type(make()).__name__ for make in METHODS.values()} - {
        "FeatureAlignment"
    }
