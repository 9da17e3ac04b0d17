import math

import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.adaptation.discrepancies.kernels import kernel_values
from keras_transfer.adaptation.discrepancies.mmd import mmd

RANDOM = np.random.default_rng(0)
N, M, D = 7, 5, 3
SOURCE = RANDOM.normal(size=(N, D))
TARGET = RANDOM.normal(0.7, 1.3, size=(M, D))
SOURCE_WEIGHTS = RANDOM.uniform(0.2, 3.0, N)
TARGET_WEIGHTS = RANDOM.uniform(0.2, 3.0, M)
ESTIMATORS = ("unbiased", "biased", "linear")
BANDWIDTHS = {1: [1], 2: [0.5, 1], 5: [0.25, 0.5, 1, 2, 4]}


def kernel_of(a, b, bandwidth, kernel="gaussian", kernels=5):
    squared = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
    if kernel == "gaussian":
        return np.mean([math.exp(-squared / (f * bandwidth)) for f in BANDWIDTHS[kernels]])
    root = math.sqrt(squared / bandwidth)
    if kernel == "energy":
        return -root
    return np.mean([math.exp(-root / f) for f in BANDWIDTHS[kernels]])


def mean_bandwidth(x, y, w, v):
    pooled, weights = np.concatenate([x, y]), np.concatenate([w, v])
    total = count = 0.0
    for i in range(len(pooled)):
        for j in range(len(pooled)):
            if i != j:
                total += weights[i] * weights[j] * ((pooled[i] - pooled[j]) ** 2).sum()
                count += weights[i] * weights[j]
    return total / count


def weighted_mean(pairs):
    return sum(w * k for w, k in pairs) / sum(w for w, _ in pairs)


def expected(x, y, w, v, estimator, bandwidth, **options):
    def k(a, b):
        return kernel_of(a, b, bandwidth, **options)

    n, m = range(len(x)), range(len(y))
    if estimator == "linear":
        firsts = range(0, 2 * (min(len(x), len(y)) // 2), 2)
        of_source = [(w[i] * w[i + 1], k(x[i], x[i + 1])) for i in firsts]
        of_target = [(v[i] * v[i + 1], k(y[i], y[i + 1])) for i in firsts]
        between = [(w[i] * v[i + 1], k(x[i], y[i + 1])) for i in firsts]
        between += [(w[i + 1] * v[i], k(x[i + 1], y[i])) for i in firsts]
    else:
        same = estimator == "biased"
        of_source = [(w[i] * w[j], k(x[i], x[j])) for i in n for j in n if same or i != j]
        of_target = [(v[i] * v[j], k(y[i], y[j])) for i in m for j in m if same or i != j]
        between = [(w[i] * v[j], k(x[i], y[j])) for i in n for j in m]
    return weighted_mean(of_source) + weighted_mean(of_target) - 2 * weighted_mean(between)


def gradient(function, *features):
    features = [tf.Variable(each, dtype=tf.float32) for each in features]
    with tf.GradientTape() as tape:
        value = function(*features)
    return value, [each.numpy() for each in tape.gradient(value, features)]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "energy"])
@pytest.mark.parametrize("kernels", [1, 2, 5])
def test_estimates_equal_loops_with_unequal_numbers_and_weights(estimator, kernel, kernels):
    arguments = (SOURCE, TARGET, SOURCE_WEIGHTS, TARGET_WEIGHTS)
    g = mean_bandwidth(*arguments)
    wanted = expected(*arguments, estimator, g, kernel=kernel, kernels=kernels)
    value = mmd(*arguments, estimator=estimator, kernel=kernel, kernels=kernels)
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, wanted, atol=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_weights_all_examples_count_alike(estimator):
    ones = (np.ones(N), np.ones(M))
    wanted = expected(SOURCE, TARGET, *ones, estimator, 1.7)
    np.testing.assert_allclose(
        mmd(SOURCE, TARGET, bandwidth=1.7, estimator=estimator), wanted, atol=1e-6
    )


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "energy"])
def test_gradient_equals_finite_differences_of_a_fixed_bandwidth(estimator, kernel):
    # With the bandwidth of these very features, so that none flows through it.
    weights = (SOURCE_WEIGHTS, TARGET_WEIGHTS)
    g = mean_bandwidth(SOURCE, TARGET, *weights)
    _, found = gradient(
        lambda x, y: mmd(x, y, *weights, estimator=estimator, kernel=kernel), SOURCE, TARGET
    )
    for which, features in enumerate((SOURCE, TARGET)):
        for index in np.ndindex(features.shape):
            values = []
            for step in (1e-5, -1e-5):
                moved = [SOURCE.copy(), TARGET.copy()]
                moved[which][index] += step
                values.append(expected(*moved, *weights, estimator, g, kernel=kernel))
            difference = (values[0] - values[1]) / 2e-5
            np.testing.assert_allclose(found[which][index], difference, atol=2e-6)


def test_the_bandwidth_has_no_gradient():
    g = tf.Variable(1.0)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(kernel_values(tf.ones([3]), g))
    assert tape.gradient(value, g) is None


@pytest.mark.parametrize("bandwidth", ["mean", 16.0])
@pytest.mark.parametrize("estimator", ["unbiased", "linear"])
def test_unbiased_estimates_have_a_mean_of_zero_between_equal_distributions(bandwidth, estimator):
    @tf.function
    def draw(x, y):
        return mmd(x, y, bandwidth=bandwidth, estimator=estimator)

    draws = RANDOM.normal(size=(1000, 14, 8)).astype("float32")
    values = np.array([draw(tf.constant(d[:8]), tf.constant(d[8:])) for d in draws])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(1000)
    assert values.min() < 0


def test_biased_estimates_are_positive_between_equal_distributions():
    @tf.function
    def draw(x, y):
        return mmd(x, y, bandwidth=16.0, estimator="biased")

    draws = RANDOM.normal(size=(400, 14, 8)).astype("float32")
    values = [draw(tf.constant(d[:8]), tf.constant(d[8:])) for d in draws]
    assert min(values) > 0
    # The expected value is (1/n + 1/m) * (1 - mean kernel).
    kernels = [kernel_of(a, b, 16.0) for a, b in RANDOM.normal(size=(4000, 2, 8))]
    floor = (1 / 8 + 1 / 6) * (1 - np.mean(kernels))
    np.testing.assert_allclose(np.mean(values), floor, rtol=0.05)


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "energy"])
def test_biased_and_unbiased_estimates_differ_by_the_diagonal(kernel):
    x, y = SOURCE[:M], TARGET
    options = {"bandwidth": 2.0, "kernel": kernel}
    between = np.mean([[kernel_of(a, b, 2.0, kernel) for b in y] for a in x])
    diagonal = kernel_of(x[0], x[0], 2.0, kernel)
    unbiased = mmd(x, y, **options)
    wanted = (M - 1) / M * unbiased + 2 / M * (diagonal - between)
    np.testing.assert_allclose(mmd(x, y, estimator="biased", **options), wanted, atol=1e-6)


def test_kernels_are_a_mean_so_that_their_number_does_not_scale_the_loss():
    far = TARGET + 1e3
    options = {"bandwidth": 1e-3, "estimator": "biased"}
    for kernels in (1, 5, 11):
        value = mmd(SOURCE[:1], far[:1], kernels=kernels, **options)
        np.testing.assert_allclose(value, 2.0, atol=1e-6)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_it_is_symmetric_and_does_not_heed_the_order(estimator):
    value = mmd(SOURCE, TARGET, SOURCE_WEIGHTS, TARGET_WEIGHTS, estimator=estimator)
    swapped = mmd(TARGET, SOURCE, TARGET_WEIGHTS, SOURCE_WEIGHTS, estimator=estimator)
    reverse = mmd(SOURCE[::-1], TARGET, SOURCE_WEIGHTS[::-1], TARGET_WEIGHTS, estimator=estimator)
    np.testing.assert_allclose([swapped, reverse], [value, value], atol=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("bandwidth", ["mean", "median"])
def test_padding_has_no_effect_whatever_stands_in_it(estimator, bandwidth):
    options = {"estimator": estimator, "bandwidth": bandwidth}
    # Even and equal for the linear one, which makes pairs.
    n, m = (4, 4) if estimator == "linear" else (N, M)
    wanted = mmd(SOURCE[:n], TARGET[:m], **options)
    padded = [np.concatenate([SOURCE[:n], np.full([3, D], np.nan)])]
    padded += [np.concatenate([TARGET[:m], np.full([2, D], 1e30)])]
    weights = (np.arange(n + 3) < n, np.arange(m + 2) < m)
    value, gradients = gradient(lambda x, y: mmd(x, y, *weights, **options), *padded)
    np.testing.assert_allclose(value, wanted, atol=1e-6)
    assert np.isfinite(gradients[0]).all()
    assert not gradients[0][n:].any()
    assert not gradients[1][m:].any()


def test_weights_are_repetitions():
    repeated = np.repeat(SOURCE, [1, 2, 1, 3, 1, 1, 1], axis=0)
    options = {"estimator": "biased", "bandwidth": 2.0}
    value = mmd(SOURCE, TARGET, [1, 2, 1, 3, 1, 1, 1], **options)
    np.testing.assert_allclose(value, mmd(repeated, TARGET, **options), atol=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("bits", [23, 10])
def test_a_shift_changes_nothing_even_with_products_of_ten_bits(estimator, bits, monkeypatch):
    x = RANDOM.normal(size=(40, 16)).astype("float32")
    y = RANDOM.normal(0.3, size=(30, 16)).astype("float32")
    wanted = mmd(x, y, estimator=estimator)
    matmul = tf.matmul

    def rounded(values):
        """To `bits` bits of mantissa, as TF32 does to factors with 10."""
        unit = 1 << (23 - bits)
        whole = tf.bitcast(tf.convert_to_tensor(values), tf.int32) + unit // 2
        return tf.bitcast(whole & -unit, tf.float32)

    def product(a, b, **options):
        return matmul(rounded(a), rounded(b), **options)

    monkeypatch.setattr(tf, "matmul", product)
    shifted = mmd(x + np.float32(1e4), y + np.float32(1e4), estimator=estimator)
    np.testing.assert_allclose(shifted, wanted, atol=1e-4)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "energy"])
def test_identical_samples_have_finite_gradients(estimator, kernel):
    options = {"estimator": estimator, "kernel": kernel}
    value, gradients = gradient(lambda x, y: mmd(x, y, **options), SOURCE, SOURCE)
    if estimator == "biased":
        np.testing.assert_allclose(value, 0, atol=1e-4)
    else:
        assert value < 0
    assert all(np.isfinite(each).all() for each in gradients)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_tiny_and_huge_features_give_what_others_do(scale, estimator):
    wanted = mmd(SOURCE, TARGET, estimator=estimator)
    value, gradients = gradient(
        lambda x, y: mmd(x, y, estimator=estimator), SOURCE * scale, TARGET * scale
    )
    np.testing.assert_allclose(value, wanted, atol=1e-5)
    assert all(np.isfinite(each).all() and each.any() for each in gradients)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("sizes", [(1, 4), (4, 1), (0, 4)])
def test_a_domain_without_pairs_gives_zero_without_gradient(estimator, sizes):
    x, y = SOURCE[: sizes[0]], TARGET[: sizes[1]]
    weights = (np.arange(4) < sizes[0], np.arange(4) < sizes[1])
    # Known at run time alone, from weights: no warning.
    value, gradients = gradient(
        lambda a, b: mmd(a, b, *weights, estimator=estimator), SOURCE[:4], TARGET[:4]
    )
    if estimator == "biased" and 0 not in sizes:
        assert value > 0
        return
    assert value == 0
    assert not any(each.any() for each in gradients)
    with pytest.warns(UserWarning, match="Received: (0|1|4) of the source, (1|4) of the target"):
        assert mmd(x, y, estimator=estimator) == 0


def test_two_examples_a_domain_are_enough():
    wanted = expected(SOURCE[:2], TARGET[:2], [1, 1], [1, 1], "unbiased", 3.0)
    value, gradients = gradient(lambda x, y: mmd(x, y, bandwidth=3.0), SOURCE[:2], TARGET[:2])
    np.testing.assert_allclose(value, wanted, atol=1e-6)
    assert all(np.isfinite(each).all() for each in gradients)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("bandwidth", ["mean", "median", 1.0])
@pytest.mark.parametrize("domain", [0, 1])
def test_nan_comes_out_as_nan(estimator, bandwidth, domain):
    features = [SOURCE[:4].copy(), TARGET[:4].copy()]
    features[domain][2, 1] = np.nan
    assert np.isnan(mmd(*features, bandwidth=bandwidth, estimator=estimator))
    features[domain][:] = np.nan
    assert np.isnan(mmd(*features, bandwidth=bandwidth, estimator=estimator))
    weights = np.array([1, np.nan, 1, 1])
    assert np.isnan(mmd(SOURCE[:4], TARGET[:4], weights, bandwidth=bandwidth, estimator=estimator))


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "energy"])
def test_no_tensor_is_larger_than_the_matrix_of_pairs(kernel):
    n, d = 48, 32

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            value = mmd(x, y, kernel=kernel)
        return value, tape.gradient(value, [x, y])

    graph = step.get_concrete_function(tf.zeros([n, d]), tf.zeros([n, d])).graph
    outputs = [output for op in graph.get_operations() for output in op.outputs]
    assert max(output.shape.num_elements() or 0 for output in outputs) == (2 * n) ** 2


@pytest.mark.parametrize(
    ("estimator", "bandwidth"),
    [("unbiased", "mean"), ("biased", "median"), ("linear", "mean")],
)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_runs_in_graphs_for_batches_of_any_size(estimator, bandwidth, jit_compile):
    specs = [tf.TensorSpec([None, D]), tf.TensorSpec([None, D])]
    specs += [tf.TensorSpec([None]), tf.TensorSpec([None])]

    @tf.function(input_signature=specs, jit_compile=jit_compile)
    def step(x, y, w, v):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = mmd(x, y, w, v, bandwidth=bandwidth, estimator=estimator)
        return value, tape.gradient(value, x)

    arguments = [
        tf.constant(each, tf.float32) for each in (SOURCE, TARGET, SOURCE_WEIGHTS, TARGET_WEIGHTS)
    ]
    value, found = step(*arguments)
    wanted = mmd(*arguments, bandwidth=bandwidth, estimator=estimator)
    np.testing.assert_allclose(value, wanted, atol=1e-6)
    assert np.isfinite(found).all()


def test_what_does_not_fit_together_is_refused():
    for arguments, message in (
        ((SOURCE, TARGET[:, :2]), r"one width.*\(7, 3\), target float64 \(5, 2\)"),
        ((SOURCE, TARGET.astype("float32")), "one float dtype.*float64.*float32"),
        ((np.ones([2, 3], int), np.ones([2, 3], int)), "one float dtype.*int64"),
        ((SOURCE[0], TARGET[0]), r"\[examples, width\].*\(3,\)"),
        ((SOURCE, TARGET, np.ones(5)), r"of the source. Received: weights \(5,\)"),
        ((SOURCE, TARGET, None, np.ones([5, 1])), r"of the target. Received: weights \(5, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            mmd(*arguments)
    for settings, message in (
        ({"kernels": 0}, "at least 1. Received: 0"),
        ({"bandwidth": "none"}, "Received: bandwidth='none'"),
        ({"bandwidth": 0}, "Received: bandwidth=0"),
        ({"bandwidth": math.inf}, "Received: bandwidth=inf"),
        ({"estimator": "u"}, "'unbiased', 'biased', 'linear'.*Received: 'u'"),
        ({"kernel": "rbf"}, "'gaussian', 'laplacian', 'energy'.*Received: 'rbf'"),
    ):
        with pytest.raises(ValueError, match=message):
            mmd(SOURCE, TARGET, **settings)
