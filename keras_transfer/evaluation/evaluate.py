"""One pass over a dataset, and the report that fits the task."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_transfer._progress import track
from keras_transfer.evaluation.reports import (
    ClassificationReport,
    RegressionReport,
    classification_report,
    regression_report,
)
from keras_transfer.models.notes import class_names_of, note_data
from keras_transfer.models.tasks import ONE_CLASS, REGRESSION, SEVERAL_CLASSES, Task, task_of


def evaluate(
    model: keras.Model,
    dataset: tf.data.Dataset,
    *,
    class_names: Sequence[str] | None = None,
    verbose: bool = True,
) -> ClassificationReport | RegressionReport:
    """Predicts a labelled dataset once and reports how well.

    Args:
        model: keras.Model made by `kx.Classifier` or `kx.Regressor`, loaded ones included.
        dataset: tf.data.Dataset of batches `(pictures, labels)`, finite; shuffled ones will do.
        class_names: list of str. Defaults to those noted on the model.
        verbose: bool. Whether to show a progress bar.

    Returns:
        For a classifier a `kx.ClassificationReport`: `.accuracy`, `.macro_f1`, `.weighted_f1`,
        `.per_class`, `.confusion_matrix`, `.loss`, `.labels`, `.probabilities`. For a regressor a
        `kx.RegressionReport`. Both have `.save(folder)`.

    Raises:
        ValueError: if the dataset is empty or infinite, labels are out of range, the class names
            are unknown, or the model was made otherwise.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> data = kx.arrays(np.zeros([8, 32, 32, 3], "uint8"), [0, 1] * 4, test_split=0.5)
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3))
    >>> model = kx.Classifier(backbone, ["cat", "dog"])
    >>> report = kx.evaluate(model, data.test, verbose=False)
    >>> report.accuracy, report.confusion_matrix.sum()
    (0.5, np.int64(4))
    """
    task = task_of(model)
    note_data(model, dataset)
    names = [] if task is REGRESSION else class_names_of(model, class_names)
    labels, outputs = _predict(model, dataset, verbose)
    _check_labels(labels, outputs, task)
    loss = float(task.loss()(labels, outputs))
    if task is REGRESSION:
        return regression_report(labels.reshape(outputs.shape), outputs, loss=loss)
    probabilities = np.asarray(task.activation(outputs))
    return classification_report(labels, probabilities, class_names=names, loss=loss)


def _predict(
    model: keras.Model, dataset: tf.data.Dataset, verbose: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and outputs of the same pass: a shuffled dataset has another order in the next."""
    size = int(dataset.cardinality())
    if size == tf.data.INFINITE_CARDINALITY:
        raise ValueError("Expected a finite dataset; take as much as you want by `.take(n)`.")
    total = size if size >= 0 else None
    batches = track(dataset, "Evaluating", total=total, show=verbose)
    pairs = [(batch[1].numpy(), model.predict_on_batch(batch[0])) for batch in batches]
    if not pairs:
        raise ValueError("Expected a dataset with at least one batch. Received: an empty one.")
    labels, outputs = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return labels, outputs


def _check_labels(labels: np.ndarray, outputs: np.ndarray, task: Task) -> None:
    if task is ONE_CLASS:
        whole = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)
        fits = whole and labels.min() >= 0 and labels.max() < outputs.shape[1]
        expected = f"one int label a picture from 0 to {outputs.shape[1] - 1}"
    elif task is SEVERAL_CLASSES:
        fits = labels.shape == outputs.shape and bool(np.isin(labels, (0, 1)).all())
        expected = f"rows of {outputs.shape[1]} labels, 0 or 1"
    else:
        fits = labels.size == outputs.size
        expected = f"{outputs.shape[1]} numbers a picture"
    if not fits:
        raise ValueError(
            f"Expected {expected}. Received: labels of shape {labels.shape} and type "
            f"{labels.dtype} from {labels.min()} to {labels.max()}."
        )
