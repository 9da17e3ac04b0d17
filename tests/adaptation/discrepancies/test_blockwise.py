import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.discrepancies.mmd import mmd

RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(size=(37, 5)).astype("float32")
TARGET = RANDOM.normal(0.5, size=(22, 5)).astype("float32")
WEIGHTS = (RANDOM.uniform(0.0, 2.0, 37), RANDOM.uniform(0.0, 2.0, 22))


def value_and_gradient(function):
    features = [tf.Variable(SOURCE), tf.Variable(TARGET)]
    with tf.GradientTape() as tape:
        value = 3 * function(*features, *WEIGHTS)
    return [value, *tape.gradient(value, features)]


@pytest.mark.parametrize("block_size", [1, 8, 59, 64])
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "energy"])
def test_value_and_gradient_equal_the_dense_ones(block_size, estimator, kernel):
    if block_size == 1 and kernel != "gaussian":
        return
    settings = {"estimator": estimator, "kernel": kernel}
    wanted = value_and_gradient(lambda *a: mmd(*a, **settings))
    found = value_and_gradient(lambda *a: kx.blockwise_mmd(*a, **settings, block_size=block_size))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("bandwidth", ["mean", "median", 3.0])
def test_bandwidths_are_those_of_the_dense_one(bandwidth):
    found = kx.blockwise_mmd(SOURCE, TARGET, bandwidth=bandwidth, block_size=16)
    np.testing.assert_allclose(found, mmd(SOURCE, TARGET, bandwidth=bandwidth), atol=1e-6)


def test_no_tensor_is_larger_than_a_block_of_the_matrix():
    n, d, block_size = 200, 8, 16

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            value = kx.blockwise_mmd(x, y, block_size=block_size)
        return value, tape.gradient(value, [x, y])

    concrete = step.get_concrete_function(tf.zeros([n, d]), tf.zeros([n, d]))
    graphs = [concrete.graph, *(each.graph for each in concrete.graph._functions.values())]
    assert len(graphs) > 2  # the loops over blocks
    sizes = [
        output.shape.num_elements() or 0
        for graph in graphs
        for op in graph.get_operations()
        for output in op.outputs
    ]
    assert max(sizes) == block_size * 2 * n


def test_it_runs_in_graphs_for_data_of_any_size():
    specs = [tf.TensorSpec([None, 5]), tf.TensorSpec([None, 5])]
    run = tf.function(lambda x, y: kx.blockwise_mmd(x, y, block_size=16), input_signature=specs)
    np.testing.assert_allclose(run(SOURCE, TARGET), mmd(SOURCE, TARGET), atol=1e-6)


def test_bad_input_has_the_results_of_the_dense_one():
    assert np.isnan(kx.blockwise_mmd(SOURCE * np.nan, TARGET))
    assert kx.blockwise_mmd(SOURCE, TARGET, np.zeros(37)) == 0
    with pytest.warns(UserWarning, match="switched off"):
        value = kx.blockwise_mmd(0 * SOURCE, 0 * TARGET)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    with pytest.warns(UserWarning, match="1 of the source"):
        assert kx.blockwise_mmd(SOURCE[:1], TARGET) == 0


def test_settings_out_of_range_are_refused():
    for settings, message in (
        ({"block_size": 0}, "Received: 0"),
        ({"estimator": "linear"}, "Received: 'linear'"),
        ({"bandwidth": -1}, "bandwidth=-1"),
    ):
        with pytest.raises(ValueError, match=message):
            kx.blockwise_mmd(SOURCE, TARGET, **settings)
