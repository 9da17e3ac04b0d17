"""How frequent the classes are in a target without labels, against the source."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

METHODS = ("bbse", "em")


def label_shift_weights(
    source_labels: npt.ArrayLike,
    source_predictions: npt.ArrayLike,
    target_predictions: npt.ArrayLike,
    *,
    method: str = "bbse",
    ridge: float = 0.0,
    min_weight: float = 0.01,
) -> dict[int, float]:
    """Weights of classes that make the source as the target is, where only frequencies differ.

    For targets in which the classes look as in the source but are not as frequent (label shift):
    `kx.fine_tune(..., class_weight=kx.label_shift_weights(...))`. The weight of a class is its
    frequency in the target over that in the source, estimated from a model's predictions:

    - "bbse" solves `confusion @ weights = mean target prediction`, with the mean prediction for
      each class in the source as the confusion. It needs no calibrated probabilities. Classes
      that the model cannot tell apart change alike.
    - "em" finds the most likely frequencies. It is more precise with few examples, if the
      probabilities are calibrated, as by temperature scaling.

    Weights are raised to `min_weight` and then scaled so that their mean over the source is 1.

    Reference: Lipton, Wang and Smola, "Detecting and Correcting for Label Shift with Black Box
    Predictors", ICML 2018 (its soft version). Saerens, Latinne and Decaestecker, "Adjusting the
    Outputs of a Classifier to New a Priori Probabilities", Neural Computation 2002. The ridge
    towards 1: Azizzadenesheli et al., "Regularized Learning for Domain Adaptation under Label
    Shifts", ICLR 2019.

    Args:
        source_labels: int array `(n,)`, the classes of source examples that the model was not
            trained on, such as the validation split; each class at least once.
        source_predictions: float array `(n, classes)`, the probabilities that the model gives
            them.
        target_predictions: float array `(m, classes)`, likewise for the target.
        method: "bbse" or "em". Defaults to "bbse".
        ridge: float, at least 0. Pulls the weights of "bbse" towards 1, for few examples or
            classes that are hard to tell apart; 0.01 is a good try. Defaults to 0.0.
        min_weight: float, at least 0. Defaults to 0.01, as `class_weight` takes no 0.

    Returns:
        Dict from class to weight.

    Raises:
        ValueError: if shapes do not fit together, labels are out of range, predictions are no
            probabilities, a class is missing in the source, or a setting is out of range.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> labels, certain = np.array([0, 0, 1, 1]), np.eye(2)
    >>> weights = kx.label_shift_weights(labels, certain[labels], certain[[0, 1, 1, 1]])
    >>> {label: round(weight, 6) for label, weight in weights.items()}
    {0: 0.5, 1: 1.5}
    """
    if method not in METHODS or not ridge >= 0 or not min_weight >= 0:
        raise ValueError(
            f"Expected `method` to be one of {METHODS}, `ridge` and `min_weight` of at least 0. "
            f"Received: method={method!r}, ridge={ridge}, min_weight={min_weight}."
        )
    source = _probabilities("source_predictions", source_predictions)
    target = _probabilities("target_predictions", target_predictions)
    labels = np.asarray(source_labels)
    _check(labels, source, target)
    counts = np.bincount(labels, minlength=source.shape[1])
    shares = counts / counts.sum()
    if method == "bbse":
        found = _black_box(labels, source, target, ridge)
    else:
        found = _most_likely(shares, target)
    found = np.maximum(found, min_weight)
    found /= shares @ found
    return {label: float(weight) for label, weight in enumerate(found)}


def _black_box(
    labels: np.ndarray, source: np.ndarray, target: np.ndarray, ridge: float
) -> np.ndarray:
    """Least squares of the smallest change from 1, so a singular confusion does no harm."""
    confusion = source.T @ np.eye(source.shape[1])[labels] / len(labels)
    changed = target.mean(axis=0) - confusion.sum(axis=1)
    rows = np.concatenate([confusion, np.sqrt(ridge) * np.eye(len(confusion))])
    wanted = np.concatenate([changed, np.zeros(len(confusion))])
    return 1 + np.linalg.lstsq(rows, wanted, rcond=1e-6)[0]


def _most_likely(shares: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Expectation maximization over the frequencies in the target."""
    weights = np.ones_like(shares)
    for _ in range(10_000):
        posterior = target * weights
        posterior /= posterior.sum(axis=1, keepdims=True)
        before, weights = weights, posterior.mean(axis=0) / shares
        if np.abs((weights - before) * shares).max() < 1e-10:
            break
    return weights


def _probabilities(name: str, given: npt.ArrayLike) -> np.ndarray:
    values = np.asarray(given, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(
            f"Expected `{name}` of shape (examples, classes), neither of them 0. Received: shape "
            f"{values.shape}."
        )
    sums = values.sum(axis=1)
    if not (values.min() >= 0 and np.abs(sums - 1).max() < 1e-2):
        raise ValueError(
            f"Expected `{name}` to be probabilities: the softmax of logits. Received: values from "
            f"{values.min():g}, rows of sums from {sums.min():g} to {sums.max():g}."
        )
    return values / sums[:, np.newaxis]


def _check(labels: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
    classes = source.shape[1]
    if labels.shape != source.shape[:1] or target.shape[1] != classes:
        raise ValueError(
            "Expected one label for each row of `source_predictions`, and as many classes in "
            f"`target_predictions`. Received: labels of shape {labels.shape}, predictions of "
            f"shape {source.shape} and {target.shape}."
        )
    if (
        not np.issubdtype(labels.dtype, np.integer)
        or not 0 <= labels.min() <= labels.max() < classes
    ):
        raise ValueError(
            f"Expected int labels from 0 to {classes - 1}. Received: {labels.dtype} labels from "
            f"{labels.min()} to {labels.max()}."
        )
    missing = np.setdiff1d(np.arange(classes), labels)
    if len(missing):
        raise ValueError(
            "Expected examples of every class in `source_labels`: nothing tells how one without "
            f"any is predicted. Received: none of {missing.tolist()}."
        )
