import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_transfer as kx

T, WEIGHT = 3.0, 0.7
KINDS = ["one class", "several classes", "regression"]


def make(kind="one class", *, width=4, seed=0, inputs=5, classes=3):
    keras.utils.set_random_seed(seed)
    body = keras.Sequential([keras.Input([inputs]), keras.layers.Dense(width, activation="relu")])
    if kind == "regression":
        return kx.Regressor(body, 3)
    return kx.Classifier(body, classes, multi_label=kind == "several classes")


def make_with_batch_norm():
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    return kx.Classifier(keras.Sequential([keras.Input([5]), *layers]), 3)


def examples(kind="one class"):
    random = np.random.default_rng(0)
    x = 3 * random.normal(size=(8, 5)).astype("float32")
    if kind == "one class":
        return x, random.integers(0, 3, 8)
    return x, random.integers(0, 2, (8, 3)).astype("float32")


def softmax(z):
    exps = np.exp(z - z.max(1, keepdims=True))
    return exps / exps.sum(1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def kl(p, q):
    return np.where(p > 0, p * np.log(p / q), 0)


def terms(kind, teacher, student, y):
    """Per example: loss of the labels, distillation; float64, and as the definitions stand."""
    t, s = teacher.astype("float64"), student.astype("float64")
    if kind == "one class":
        labels = -np.log(softmax(s)[range(len(y)), y])
        return labels, T**2 * kl(softmax(t / T), softmax(s / T)).sum(1)
    if kind == "several classes":
        labels = -np.log(np.where(y == 1, sigmoid(s), 1 - sigmoid(s))).mean(1)
        p, q = sigmoid(t / T), sigmoid(s / T)
        return labels, T**2 * (kl(p, q) + kl(1 - p, 1 - q)).mean(1)
    return ((s - y) ** 2).mean(1), ((s - t) ** 2).mean(1)


def loss_for(kind):
    if kind == "one class":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return keras.losses.BinaryCrossentropy(from_logits=True) if "several" in kind else "mse"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_metric_equal_numpy(kind, weighted):
    student, teacher = make(kind), make(kind, width=7, seed=1)
    x, y = examples(kind)
    weights = np.linspace(0, 2, 8, dtype="float32") if weighted else np.ones(8, "float32")
    labels, soft = terms(kind, teacher.predict(x, verbose=0), student.predict(x, verbose=0), y)
    model = kx.Distillation(student, teacher, temperature=T, weight=WEIGHT)
    model.compile(keras.optimizers.SGD(0.0), loss_for(kind))
    logs = model.fit(
        x, y, sample_weight=weights if weighted else None, batch_size=8, verbose=0
    ).history
    expected = (weights * (labels + WEIGHT * soft)).mean()
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)
    mean = (weights * soft).sum() / weights.sum()
    np.testing.assert_allclose(logs["distillation_loss"], mean, rtol=1e-5)
    evaluated = model.evaluate(x, y, verbose=0, batch_size=8, return_dict=True)
    np.testing.assert_allclose(evaluated["loss"], (labels + WEIGHT * soft).mean(), rtol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_follows_the_gradient_of_numpy(scaled):
    student, teacher = make(), make(width=7, seed=1)
    x, y = examples()
    s, t = (m.predict(x, verbose=0).astype("float64") for m in (student, teacher))
    hidden = keras.Model(student.input, student.layers[-1].input).predict(x, verbose=0)
    # d KL / d logits = (q - p) / T, times T^2
    wanted = softmax(s) - np.eye(3)[y] + WEIGHT * T * (softmax(s / T) - softmax(t / T))
    kernel, bias = (w.numpy() for w in student.weights[-2:])
    model = kx.Distillation(student, teacher, temperature=T, weight=WEIGHT)
    optimizer = keras.optimizers.SGD(1.0)
    model.compile(
        keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer,
        loss_for("one class"),
    )
    model.fit(x, y, batch_size=8, verbose=0)
    after = [w.numpy() for w in student.weights[-2:]]
    np.testing.assert_allclose(after[0], kernel - hidden.T @ wanted / 8, rtol=0, atol=1e-6)
    np.testing.assert_allclose(after[1], bias - wanted.mean(0), rtol=0, atol=1e-6)


def test_extreme_logits_keep_value_and_gradient():
    # A clipped probability would give a finite value and no gradient.
    student, teacher = make(), make(seed=1)
    student.layers[-1].set_weights([np.zeros([4, 3]), np.array([300.0, 0, 0])])
    teacher.layers[-1].set_weights([np.zeros([4, 3]), np.array([0, 300.0, 0])])
    model = kx.Distillation(student, teacher, temperature=1.0)
    model.compile(keras.optimizers.SGD(1.0))
    logs = model.fit(examples()[0], batch_size=8, verbose=0).history
    assert logs["loss"] == pytest.approx([300])
    np.testing.assert_allclose(student.layers[-1].bias.numpy(), [299, 1, 0], atol=1e-5)


def test_teacher_stays_as_it_is_and_the_student_learns_by_its_own_flags():
    student, teacher = make_with_batch_norm(), make_with_batch_norm()
    kx.FineTuning(0).apply(student)
    teacher.layers[1].layers[0].trainable = False
    flags = [layer.trainable for layer in teacher._flatten_layers()]
    before, frozen = teacher.get_weights(), student.layers[1].get_weights()
    x, y = examples()
    model = kx.Distillation(student, teacher)
    model.compile("adam", loss_for("one class"), metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0)
    assert flags == [layer.trainable for layer in teacher._flatten_layers()]
    for one, other in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(frozen, student.layers[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(model.trainable_weights) == 2
    assert model.teacher is teacher


def test_it_predicts_what_the_student_does_and_keeps_the_student_alone(tmp_path):
    student, teacher = make(), make(width=7, seed=1)
    x, y = examples()
    model = kx.Distillation(student, teacher)
    model.compile("adam", loss_for("one class"), metrics=["accuracy"])
    model.fit(x, y, verbose=0, validation_data=(x, y))
    np.testing.assert_array_equal(model.predict(x, verbose=0), student.predict(x, verbose=0))
    assert [w.path for w in model.weights] == [w.path for w in student.weights]
    model.save_weights(tmp_path / "all.weights.h5")
    other = kx.Distillation(make(seed=2), teacher)
    other.load_weights(tmp_path / "all.weights.h5")
    np.testing.assert_array_equal(other.predict(x, verbose=0), student.predict(x, verbose=0))
    with pytest.raises(NotImplementedError, match=r"`model.student.save"):
        model.save(tmp_path / "model.keras")
    student.save(tmp_path / "student.keras")


def test_penalties_on_the_student_count_in_full():
    student, teacher = make(), make(seed=1)
    x, y = examples()
    model = kx.Distillation(student, teacher, weight=WEIGHT)
    model.compile(keras.optimizers.SGD(0.0), loss_for("one class"))
    plain = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    kx.L2(0.5, 0.5).apply(student)
    model.compile(keras.optimizers.SGD(0.0), loss_for("one class"))
    penalty = 0.25 * sum((w.astype("float64") ** 2).sum() for w in student.get_weights())
    pulled = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert pulled == pytest.approx(plain + penalty, rel=1e-5)


@pytest.mark.slow
def test_two_replicas_equal_one_device():
    code = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
def make(width):
    return kx.Classifier(keras.Sequential([keras.Input([3]), keras.layers.Dense(width)]), 3)
def run(strategy):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = kx.Distillation(make(4), make(7), temperature=3.0, weight=0.7)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices((x, x.argmax(1))).batch(8)
    logs = model.fit(data, epochs=5, verbose=0).history
    figures = [logs["loss"], logs["distillation_loss"]]
    return np.concatenate([w.ravel() for w in model.get_weights()] + figures)
one = run(tf.distribute.get_strategy())
two = run(tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]))
print(np.abs(one - two).max())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < 1e-6


@pytest.mark.parametrize(
    ("kind", "inputs", "classes", "message"),
    [
        ("regression", 5, 3, "agree in the task. Received: logits and values"),
        ("one class", 6, 3, r"the inputs. Received: \(None, 5\) and \(None, 6\)"),
        ("one class", 5, 4, r"the outputs. Received: \(None, 3\) and \(None, 4\)"),
        ("one class", 5, ["2", "1", "0"], "the class names. Received: .'0', '1', '2'. and .'2'"),
    ],
)
def test_models_that_do_not_fit_together_are_refused(kind, inputs, classes, message):
    with pytest.raises(ValueError, match=message):
        kx.Distillation(make(), make(kind, inputs=inputs, classes=classes))


def test_a_teacher_that_would_be_trained_is_refused():
    model = make()
    with pytest.raises(ValueError, match="4 shared weights, '.*kernel' first"):
        kx.Distillation(model, model)
    body = keras.Sequential([keras.Input([5]), keras.layers.Dense(4)])
    student, teacher = kx.Classifier(body, 3), kx.Classifier(body, 3)
    kx.FeatureExtraction().apply(student)
    assert kx.Distillation(student, teacher).teacher is teacher


@pytest.mark.parametrize(
    "settings", [{"temperature": 0}, {"temperature": np.inf}, {"weight": -1}, {"weight": np.nan}]
)
def test_numbers_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=r"`temperature` above 0 and `weight` of at least 0"):
        kx.Distillation(make(), make(), **settings)
