import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.evaluation.reports import classification_report, regression_report


def identity_model(width, name):
    """Gives its inputs back: the outputs are whatever the test says."""
    inputs = keras.Input((width,))
    return keras.Model(inputs, keras.layers.Identity(name=name)(inputs))


def dataset(outputs, labels, batch_size=3):
    pair = (np.asarray(outputs, "float32"), labels)
    return tf.data.Dataset.from_tensor_slices(pair).batch(batch_size)


# Seven pictures, three classes; the predictions are 0 0 1 | 1 1 | 2 0.
LABELS = [0, 0, 0, 1, 1, 2, 2]
PREDICTED = [0, 0, 1, 1, 1, 2, 0]
LOGITS = 4.0 * np.eye(3)[PREDICTED]


@pytest.fixture
def report():
    model = identity_model(3, "logits")
    return kx.evaluate(model, dataset(LOGITS, LABELS), class_names=["a", "b", "c"], verbose=False)


def test_figures_equal_those_counted_by_hand(report):
    assert report.accuracy == pytest.approx(5 / 7)
    assert report.confusion_matrix.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 1]]
    precision, recall = [2 / 3, 2 / 3, 1], [2 / 3, 1, 1 / 2]
    f1 = [2 * p * r / (p + r) for p, r in zip(precision, recall, strict=True)]
    assert [row["f1"] for row in report.per_class.values()] == pytest.approx(f1)
    assert [row["support"] for row in report.per_class.values()] == [3, 2, 2]
    assert report.macro_f1 == pytest.approx(np.mean(f1))
    assert report.weighted_f1 == pytest.approx(np.average(f1, weights=[3, 2, 2]))


def test_loss_is_the_mean_cross_entropy(report):
    right = np.log1p(2 * np.exp(-4.0))
    wrong = right + 4.0
    assert report.loss == pytest.approx((5 * right + 2 * wrong) / 7, rel=1e-5)


def test_labels_and_probabilities_are_kept_in_order(report):
    assert report.labels.tolist() == LABELS
    assert report.probabilities.argmax(-1).tolist() == PREDICTED
    np.testing.assert_allclose(report.probabilities.sum(-1), 1, atol=1e-6)


def test_saved_figures_are_those_of_the_report(report, tmp_path):
    report.save(tmp_path / "report")
    figures = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert figures["accuracy"] == report.accuracy
    assert figures["confusion_matrix"] == report.confusion_matrix.tolist()
    assert figures["num_examples"] == 7
    png = (tmp_path / "report" / "confusion_matrix.png").read_bytes()
    assert tf.io.decode_png(png).shape[0] > 100
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == [
        "confusion_matrix.png",
        "metrics.json",
    ]


def test_printed_table_shows_every_class(report, capsys):
    report.print()
    shown = capsys.readouterr().out
    assert "accuracy 0.714" in shown
    assert [name for name in "abc" if f"│ {name} " in shown] == list("abc")


def test_shuffled_dataset_gives_the_same_figures(report):
    shuffled = dataset(LOGITS, LABELS).unbatch().shuffle(7).batch(2)
    model = identity_model(3, "logits")
    again = kx.evaluate(model, shuffled, class_names=["a", "b", "c"], verbose=False)
    assert again.confusion_matrix.tolist() == report.confusion_matrix.tolist()


def test_classes_without_examples_count_as_zero():
    probabilities = np.eye(3, dtype="float32")[[0, 0]]
    report = classification_report(
        np.array([0, 0]), probabilities, class_names=["a", "b", "c"], loss=0.0
    )
    assert report.per_class["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


def test_several_classes_at_once(tmp_path):
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], "float32")
    logits = np.array([[3, -3], [3, -3], [-3, -3], [-3, 3.0]])
    model = identity_model(2, "class_logits")
    report = kx.evaluate(model, dataset(logits, labels), class_names=["a", "b"], verbose=False)
    assert report.accuracy == 0.75
    assert report.confusion_matrix.tolist() == [[[2, 0], [0, 2]], [[2, 0], [1, 1]]]
    report.save(tmp_path)
    assert (tmp_path / "confusion_matrix.png").stat().st_size > 1000


def test_regression_figures_equal_those_counted_by_hand():
    labels, values = np.array([[1.0], [2.0], [4.0]]), np.array([[1.5], [2.0], [3.0]])
    report = regression_report(labels, values, loss=1.25 / 3)
    assert report.mean_absolute_error == pytest.approx(0.5)
    assert report.root_mean_squared_error == pytest.approx((1.25 / 3) ** 0.5)
    assert report.r2 == pytest.approx(1 - 1.25 / (np.var([1, 2, 4]) * 3))


def test_regressor_is_evaluated_on_flat_labels(tmp_path):
    model = identity_model(1, "values")
    report = kx.evaluate(model, dataset([[1.0], [2.0]], [1.0, 4.0]), verbose=False)
    assert report.loss == pytest.approx(2.0)
    report.save(tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())["mean_absolute_error"] == 1.0


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("logits", [0, 3], "one int label a picture from 0 to 2.*to 3"),
        ("logits", [-1, 0], "from -1"),
        ("logits", [0.5, 1.0], "float"),
        ("logits", np.eye(3)[[0, 1]], r"shape \(2, 3\)"),
        ("class_logits", [0, 1], "rows of 3 labels"),
        ("class_logits", 2 * np.eye(3)[[0, 1]], "0 or 1"),
        ("values", [0.0, 1.0], "3 numbers a picture"),
    ],
)
def test_labels_that_do_not_fit_are_refused(name, labels, message):
    model = identity_model(3, name)
    with pytest.raises(ValueError, match=message):
        kx.evaluate(
            model, dataset(np.zeros([2, 3]), labels), class_names=["a", "b", "c"], verbose=False
        )


def test_unknown_class_names_and_useless_datasets_are_refused():
    model = identity_model(3, "logits")
    good = dataset(LOGITS, LABELS)
    with pytest.raises(ValueError, match=r"Expected 3 class names.*Received: \[\]"):
        kx.evaluate(model, good)
    for useless, word in ((good.repeat(), "finite"), (good.take(0), "empty")):
        with pytest.raises(ValueError, match=word):
            kx.evaluate(model, useless, class_names=["a", "b", "c"], verbose=False)
