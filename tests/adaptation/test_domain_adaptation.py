import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

RANDOM = np.random.default_rng(0)
# The last batches have fewer rows, of each domain another number.
SOURCE = RANDOM.normal(size=(10, 5)).astype("float32")
TARGET = RANDOM.normal(0.7, 1.3, size=(7, 5)).astype("float32")
LABELS = RANDOM.integers(0, 3, 10)
TARGET_LABELS = np.array([1, -1, 2, -1, 0, 0, -1])
WEIGHTS = RANDOM.uniform(0.2, 2, 10).astype("float32")
TARGET_WEIGHTS = RANDOM.uniform(0.2, 2, 7).astype("float32")
KINDS = {"several classes": "binary_crossentropy", "regression": "mse"}


def make(kind="one class", seed=0, penalty=0.0):
    keras.utils.set_random_seed(seed)
    hidden = keras.layers.Dense(
        6, activation="relu", kernel_regularizer=keras.regularizers.L2(penalty)
    )
    body = keras.Sequential([keras.Input([5]), hidden])
    if kind == "regression":
        model = kx.Regressor(body, 3)
    else:
        model = kx.Classifier(body, 3, multi_label=kind == "several classes")
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    return model


def batches(*parts, size):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(size)


def pair(*, weighted=False, labeled=False):
    source = (SOURCE, LABELS, WEIGHTS) if weighted else (SOURCE, LABELS)
    target = (TARGET, TARGET_LABELS) if labeled or weighted else (TARGET,)
    if weighted:
        target = (*target, TARGET_WEIGHTS)
    return kx.pair_domains(
        batches(*source, size=4),
        batches(*target, size=3),
        target_labels="train" if labeled else "ignore" if weighted else None,
    )


def gap(source, target, source_weights, target_weights):
    """The squared distance of the weighted means; any function of this kind is a method."""

    def mean(x, weights):
        return tf.linalg.matvec(x, weights, transpose_a=True) / tf.reduce_sum(weights)

    return tf.reduce_sum((mean(source, source_weights) - mean(target, target_weights)) ** 2)


def adaptation(model, method=gap, *, rate=0.0, weight=0.5, schedule="constant", **options):
    adapted = kx.DomainAdaptation(model, method, weight=weight, schedule=schedule, **options)
    compile_(adapted, rate)
    return adapted


def compile_(model, rate=0.0, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), loss, **options)


def outputs(model, x):
    """Features and logits, in float64."""
    one, bias, kernel, last = (w.astype("float64") for w in model.get_weights())
    features = np.maximum(x @ one + bias, 0)
    return features, features @ kernel + last


def cross_entropies(logits, labels):
    exps = np.exp(logits - logits.max(1, keepdims=True))
    return -np.log(exps / exps.sum(1, keepdims=True))[range(len(labels)), labels]


def expected_losses(model, weight, penalty=0.0, weighted=False, labeled=False):
    """Of the labels and of the term, their means over batches by the rows of the source."""
    rows, figures = [], []
    for i in range(3):
        of_source, of_target = slice(4 * i, 4 * i + 4), slice(3 * i, 3 * i + 3)
        w = WEIGHTS[of_source] if weighted else np.ones(len(LABELS[of_source]))
        v = TARGET_WEIGHTS[of_target] if weighted else np.ones(len(TARGET[of_target]))
        (x, logits), (y, others) = (
            outputs(model, SOURCE[of_source]),
            outputs(model, TARGET[of_target]),
        )
        losses = w * cross_entropies(logits, LABELS[of_source])
        if labeled:
            known = TARGET_LABELS[of_target] >= 0
            more = v[known] * cross_entropies(others[known], TARGET_LABELS[of_target][known])
            losses = np.concatenate([losses, more])
        task = losses.mean() + penalty * (model.get_weights()[0].astype("float64") ** 2).sum()
        apart = np.average(x, 0, w) - np.average(y, 0, v)
        figures.append([task, weight * (apart**2).sum()])
        rows.append(len(w))
    return np.average(figures, 0, rows)


def assert_logged(logs, expected, prefix=""):
    task, term = expected
    found = [np.ravel(logs[prefix + name])[0] for name in ("task_loss", "adaptation_loss", "loss")]
    np.testing.assert_allclose(found, [task, term, task + term], rtol=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 0.1])
@pytest.mark.parametrize("labeled", [False, True])
@pytest.mark.parametrize("weighted", [pytest.param(False, marks=pytest.mark.slow), True])
def test_logged_losses_equal_numpy_with_unequal_last_batches(weighted, labeled, penalty):
    model, data = make(penalty=penalty), pair(weighted=weighted, labeled=labeled)
    adapted = adaptation(model)
    history = adapted.fit(data, validation_data=data, verbose=0).history
    expected = expected_losses(model, 0.5, penalty, weighted, labeled)
    assert_logged(history, expected)
    assert_logged(history, expected, "val_")
    assert_logged(adapted.evaluate(data, verbose=0, return_dict=True), expected)


def test_validation_on_one_domain_logs_what_the_model_alone_does():
    model = make(penalty=0.1)
    adapted = adaptation(model)
    compile_(adapted, metrics=["accuracy"])
    single = batches(SOURCE, LABELS, size=4)
    history = adapted.fit(pair(), validation_data=single, verbose=0).history
    compile_(model, metrics=["accuracy"])
    of_model = model.evaluate(single, verbose=0, return_dict=True)
    expected = {name: float(value) for name, value in of_model.items()}
    found = {name[4:]: value for name, [value] in history.items() if name.startswith("val_")}
    assert found == pytest.approx(expected, rel=1e-6)
    logs = adapted.evaluate(single, verbose=0, return_dict=True)
    assert {name: float(value) for name, value in logs.items()} == pytest.approx(expected)
    losses = (np.array(one.evaluate(single, verbose=0)) for one in (adapted, model))
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_on_one_domain_it_is_the_model():
    model = make()
    adapted = adaptation(model)
    np.testing.assert_array_equal(
        adapted.predict(SOURCE, verbose=0), model.predict(SOURCE, verbose=0)
    )
    np.testing.assert_array_equal(adapted(SOURCE), model(SOURCE))
    assert adapted.model is model


def test_weight_0_trains_as_the_source_alone_does():
    model, alone = make(), make()
    adaptation(model, rate=0.1, weight=0.0).fit(pair(), epochs=3, verbose=0)
    compile_(alone, 0.1)
    alone.fit(batches(SOURCE, LABELS, size=4), epochs=3, verbose=0, shuffle=False)
    for before, found, wanted in zip(
        make().get_weights(), *map(weights_of, (model, alone)), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
        assert np.abs(wanted - before).max() > 1e-2


def weights_of(model):
    return model.get_weights()


@pytest.mark.parametrize("method", [gap, kx.MaximumMeanDiscrepancy()])
def test_a_step_follows_the_gradient_of_the_labels_and_of_the_term(method):
    model = make()
    features = keras.Model(model.input, model.layers[-1].input)
    before = model.get_weights()
    with tf.GradientTape(persistent=True) as tape:
        entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, model(SOURCE))
        task = tf.reduce_mean(entropies)
        ones = tf.ones(10), tf.ones(7)
        term = method(features(SOURCE), features(TARGET), *ones)
    zero = tf.UnconnectedGradients.ZERO
    variables = [w.value for w in model.trainable_weights]
    of_task = tape.gradient(task, variables)
    of_term = tape.gradient(term, variables, unconnected_gradients=zero)
    assert all(np.abs(gradient).max() > 1e-3 for gradient in of_task + of_term[:2])
    data = kx.pair_domains(batches(SOURCE, LABELS, size=10), batches(TARGET, size=7))
    adaptation(model, method, rate=0.5, weight=3.0).fit(data, verbose=0)
    for old, a, b, new in zip(before, of_task, of_term, model.get_weights(), strict=True):
        np.testing.assert_allclose(new, old - 0.5 * (a + 3.0 * b), rtol=0, atol=2e-6)


def test_accuracy_is_that_of_examples_with_labels():
    model = make()
    right = outputs(model, SOURCE)[1].argmax(1) == LABELS
    known = TARGET_LABELS >= 0
    more = (outputs(model, TARGET)[1].argmax(1) == TARGET_LABELS)[known]
    for labeled, expected in ((False, right), (True, np.concatenate([right, more]))):
        adapted = adaptation(model)
        compile_(adapted, metrics=["accuracy"])
        logs = adapted.fit(pair(labeled=labeled), verbose=0).history
        assert logs["accuracy"][0] == pytest.approx(expected.mean())


@pytest.mark.parametrize("kind", KINDS)
def test_several_labels_and_numbers_are_taken(kind):
    model = make(kind)
    y = (SOURCE[:, :3] > 0).astype("float32")
    data = kx.pair_domains(batches(SOURCE, y, size=10), batches(TARGET, size=7))
    adapted = kx.DomainAdaptation(model, gap, schedule="constant")
    several = kind == "several classes"
    loss = keras.losses.BinaryCrossentropy(from_logits=True) if several else "mse"
    adapted.compile(keras.optimizers.SGD(0.0), loss)
    logs = adapted.fit(data, verbose=0).history
    (x, z), (other, _) = outputs(model, SOURCE), outputs(model, TARGET)
    task = np.logaddexp(0, np.where(y == 1, -z, z)) if several else (z - y) ** 2
    assert_logged(logs, (task.mean(), ((x.mean(0) - other.mean(0)) ** 2).sum()))


def progress(epochs=3, optimizer=None, **options):
    """The share of training that is done, as each epoch of two steps has it on average."""
    adapted = kx.DomainAdaptation(make(), lambda *_: tf.ones([]), schedule=lambda done: done)
    compile_(adapted)
    if optimizer is not None:
        adapted.compile(optimizer, adapted.loss)
    data = kx.pair_domains(batches(SOURCE, LABELS, size=5), batches(TARGET, size=7))
    single = batches(SOURCE, LABELS, size=2)
    found = []
    for _ in range(2):
        logs = adapted.fit(data, epochs=epochs, validation_data=data, verbose=0, **options).history
        adapted.evaluate(single, verbose=0)
        found.append(logs["adaptation_loss"])
    return found


@pytest.mark.parametrize("scaled", [False, True])
def test_schedule_goes_over_all_updates_of_each_call_of_fit(scaled):
    optimizer = keras.optimizers.SGD(0.0)
    found = progress(optimizer=keras.optimizers.LossScaleOptimizer(optimizer) if scaled else None)
    np.testing.assert_allclose(found, [[0.5 / 6, 2.5 / 6, 4.5 / 6]] * 2, rtol=1e-6)


@pytest.mark.parametrize("scaled", [False, True])
def test_schedule_counts_batches_where_gradients_are_accumulated(scaled):
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    found = progress(
        optimizer=keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer
    )
    np.testing.assert_allclose(found, [[0, 2 / 6, 4 / 6]] * 2, rtol=1e-6)


def test_schedule_goes_on_from_the_initial_epoch_and_by_given_steps():
    np.testing.assert_allclose(progress(initial_epoch=2), [[4.5 / 6]] * 2, rtol=1e-6)
    np.testing.assert_allclose(progress(steps_per_epoch=1), [[0, 1 / 3, 2 / 3]] * 2, rtol=1e-6)


def factors(schedule, epochs=100):
    adapted = adaptation(make(), lambda *_: tf.ones([]), weight=2.0, schedule=schedule)
    data = kx.pair_domains(batches(SOURCE, LABELS, size=10), batches(TARGET, size=7))
    return np.array(adapted.fit(data, epochs=epochs, verbose=0).history["adaptation_loss"]) / 2


def test_ramp_begins_at_0_and_ends_at_1():
    done = np.arange(100) / 100
    np.testing.assert_allclose(factors("ramp"), 2 / (1 + np.exp(-10 * done)) - 1, atol=1e-6)


def test_constant_is_1_throughout():
    np.testing.assert_array_equal(factors("constant", 3), 1)


def test_outside_of_fit_the_term_counts_in_full():
    adapted = adaptation(make(), schedule=lambda done: done)
    logs = adapted.evaluate(pair(), verbose=0, return_dict=True)
    assert_logged(logs, expected_losses(adapted.model, 0.5))
    adapted.compile(optimizer=None, loss=adapted.loss)
    assert_logged(
        adapted.evaluate(pair(), verbose=0, return_dict=True), expected_losses(adapted.model, 0.5)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -1.0}, "at least 0. Received: -1.0"),
        ({"weight": float("nan")}, "finite.*Received: nan"),
        ({"schedule": "cosine"}, "one of .*ramp.*Received: schedule='cosine'"),
        ({"normalization": "both"}, "one of .*joint.*Received: normalization='both'"),
        ({"layers": ["nowhere"]}, "nowhere"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        kx.DomainAdaptation(make(), gap, **options)


def test_several_layers_are_summed():
    model = make()
    adapted = adaptation(model, layers=["dense", "logits"], weight=1.0)
    logs = adapted.evaluate(pair(), verbose=0, return_dict=True)
    means = []
    for i in range(3):
        one, other = outputs(model, SOURCE[4 * i :][:4]), outputs(model, TARGET[3 * i :][:3])
        apart = [a.mean(0) - b.mean(0) for a, b in zip(one, other, strict=True)]
        means.append(sum((difference**2).sum() for difference in apart))
    assert logs["adaptation_loss"] == pytest.approx(np.average(means, 0, [4, 4, 2]), rel=1e-5)
