import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

PIXELS = np.array([[2, 0], [1, 0.4], [0, 2], [0.4, 1]], "float32")
RIGHT, WRONG = np.eye(2), 1 - np.eye(2)


def linear(kernel, name="logits"):
    """Two logits from two pixels, by a given matrix."""
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(2, use_bias=False, name=name)])
    model.set_weights([np.array(kernel, "float32")])
    return model


def batches(labels=(0, 0, 1, 1)):
    return tf.data.Dataset.from_tensor_slices((PIXELS, np.array(labels))).batch(3)


def figures_of(kernel, labels=(0, 0, 1, 1)):
    """Loss and accuracy by hand."""
    logits = PIXELS.astype("float64") @ kernel
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    hits = logits.argmax(1) == labels
    return -logs[range(4), labels].mean(), hits.mean()


def test_weights_are_mixed_as_numpy_does(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    random = np.random.default_rng(0)
    start, tuned = ([random.random(w.shape, "float32") for w in model.weights] for _ in range(2))
    model.set_weights(tuned)
    kx.interpolate_weights(model, start, 0.3)
    for found, before, after in zip(model.get_weights(), start, tuned, strict=True):
        expected = 0.7 * before.astype("float64") + 0.3 * after.astype("float64")
        np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize("alpha", [0, 1])
def test_ends_are_met_bit_for_bit_even_where_mixing_could_not(alpha):
    start, tuned = np.array([[1e-42, np.inf], [-0.0, 3]]), np.array([[np.nan, 0.1], [np.inf, 3e38]])
    model = linear(tuned)
    kx.interpolate_weights(model, linear(start), alpha)
    expected = np.array(tuned if alpha else start, "float32")
    assert model.get_weights()[0].tobytes() == expected.tobytes()


@pytest.mark.parametrize(("alpha", "expected"), [(0, 0), (0.25, 7), (1, 7)])
def test_counts_are_not_mixed(alpha, expected):
    class Counter(keras.layers.Dense):
        def build(self, shape):
            super().build(shape)
            self.count = self.add_weight(
                name="count", dtype="int32", initializer="zeros", trainable=False
            )

    model = keras.Sequential([keras.Input([2]), Counter(2)])
    start = model.get_weights()
    model.layers[0].count.assign(7)
    kx.interpolate_weights(model, start, alpha)
    assert int(model.layers[0].count) == expected


def test_half_precision_weights_keep_their_type():
    keras.config.set_dtype_policy("bfloat16")
    model = linear(np.ones([2, 2]))
    kx.interpolate_weights(model, [np.zeros([2, 2])], 0.5)
    np.testing.assert_array_equal(model.get_weights()[0].astype("float32"), np.full([2, 2], 0.5))


def test_dropout_and_optimizer_state_stay():
    x = keras.layers.Dropout(0.5)(keras.Input([2]))
    model = keras.Model(x._keras_history.operation.input, keras.layers.Dense(1)(x))
    start = model.get_weights()
    model.compile("adam", "mse")
    model.fit(PIXELS, np.ones(4), verbose=0)
    others = [*model.non_trainable_variables, *model.optimizer.variables]
    before = [np.array(variable) for variable in others]
    kx.interpolate_weights(model, start, 0.5)
    for one, other in zip(before, others, strict=True):
        np.testing.assert_array_equal(one, np.array(other))


def test_a_start_of_another_structure_is_named_by_its_first_weight():
    model = linear(RIGHT)
    with pytest.raises(ValueError, match=r"with \(2, 2\) for '.*logits/kernel'.*\(3, 2\)"):
        kx.interpolate_weights(model, [np.zeros([3, 2])], 0.5)
    with pytest.raises(ValueError, match=r"with 1 weights. Received: 2"):
        kx.interpolate_weights(model, [np.zeros([2, 2])] * 2, 0.5)
    with pytest.raises(ValueError, match="the fine-tuned model itself"):
        kx.interpolate_weights(model, model, 0.5)
    np.testing.assert_array_equal(model.get_weights()[0], RIGHT)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match=f"from 0 to 1. Received: alpha={alpha}"):
        kx.interpolate_weights(linear(RIGHT), linear(WRONG), alpha)


@pytest.mark.parametrize("compiled", [False, True])
def test_best_alpha_is_set_and_figures_equal_numpy(compiled):
    # From wrong to overdone: right between, with the lowest loss well before the end.
    labels = (0, 0, 1, 0)
    start, tuned = 1.0 * WRONG, np.array([[9.0, 0], [0, 8]])
    model = linear(tuned)
    if compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(loss=loss, metrics=["accuracy"])
    alphas = [0, 0.1, 0.2, 0.5, 1.0]
    best, table = kx.best_interpolation(
        model, linear(start), batches(labels), alphas=alphas, verbose=False
    )
    expected = [figures_of((1 - a) * start + a * tuned, labels) for a in alphas]
    for alpha, row, (loss, accuracy) in zip(alphas, table, expected, strict=True):
        assert row["alpha"] == alpha
        np.testing.assert_allclose([row["loss"], row["accuracy"]], [loss, accuracy], rtol=1e-5)
    # The highest accuracy comes first, the loss decides among equals.
    order = sorted(zip(expected, alphas, strict=True), key=lambda row: (-row[0][1], row[0][0]))
    assert best == order[0][1]
    assert model.compiled == compiled
    mixed = ((1 - best) * start + best * tuned).astype("float32")
    np.testing.assert_allclose(model.get_weights()[0], mixed, rtol=1e-7)


def test_fine_tuned_weights_are_exact_after_many_alphas():
    tuned = np.random.default_rng(0).random((2, 2), "float32") + 5 * RIGHT
    model = linear(tuned)
    best, table = kx.best_interpolation(
        model, linear(WRONG), batches(), monitor="loss", verbose=False
    )
    assert best == 1
    assert len(table) == 11
    np.testing.assert_array_equal(model.get_weights()[0], tuned.astype("float32"))


def test_a_figure_of_nan_never_wins():
    model = linear(np.full([2, 2], np.nan))
    best, table = kx.best_interpolation(
        model, linear(WRONG), batches(), alphas=[0, 0.5, 1], monitor="loss", verbose=False
    )
    assert best == 0
    assert np.isnan(table[-1]["loss"])


def test_other_metrics_need_a_direction():
    model = linear(RIGHT)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseTopKCategoricalAccuracy(1, name="top")],
    )
    arguments = (model, linear(WRONG), batches())
    with pytest.raises(ValueError, match="'top'.*and a `mode`.*monitor='top', mode=None"):
        kx.best_interpolation(*arguments, monitor="top", verbose=False)
    with pytest.raises(ValueError, match="one of .*Received: monitor='acc'"):
        kx.best_interpolation(*arguments, monitor="acc", mode="max", verbose=False)
    np.testing.assert_array_equal(model.get_weights()[0], RIGHT)  # as it was, after a failure
    settings = {"monitor": "top", "alphas": [0, 1], "verbose": False}
    assert kx.best_interpolation(*arguments, mode="max", **settings)[0] == 1
    assert kx.best_interpolation(*arguments, mode="min", **settings)[0] == 0


def test_validation_data_has_to_be_finite_and_not_empty():
    model = linear(RIGHT)
    with pytest.raises(ValueError, match="of -1 batches"):
        kx.best_interpolation(model, linear(WRONG), batches().repeat(), verbose=False)
    with pytest.raises(ValueError, match=r"alphas=\[\]"):
        kx.best_interpolation(model, linear(WRONG), batches(), alphas=[], verbose=False)
    with pytest.raises(ValueError, match="a dataset of 0 batches"):
        kx.best_interpolation(model, linear(WRONG), batches().take(0), verbose=False)
    np.testing.assert_array_equal(model.get_weights()[0], RIGHT)
