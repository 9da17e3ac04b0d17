"""Between the pretrained and the fine-tuned weights: robust fine-tuning by interpolation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from keras_transfer._progress import track
from keras_transfer.models.tasks import task_of

TENTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_DIRECTIONS = {"accuracy": "max", "loss": "min", "mean_absolute_error": "min"}


def interpolate_weights(
    model: keras.Model, start: keras.Model | Sequence[np.ndarray], alpha: float
) -> None:
    """Sets a fine-tuned model's weights to (1 - alpha) * start + alpha * fine-tuned, in place.

    Costs nothing at inference and often helps on pictures unlike those of fine-tuning. Both ends
    must be useful models of the same task: before fine-tuning, train the head on the frozen
    backbone (`kx.FeatureExtraction`) and take that model as the start; a start with a random head
    pulls the head towards noise.

    All weights are mixed, the statistics of BatchNorm too. Where the backbone's BatchNorm was
    frozen (the default of `kx.Strategy`) both ends agree on these. Where it was trained, mixed
    statistics need not fit the mixed weights: evaluate before you use them. Weights that are not
    floating point keep their fine-tuned values, save for alpha=0.

    Reference: Wortsman et al., "Robust fine-tuning of zero-shot models" (WiSE-FT), CVPR 2022.

    Args:
        model: keras.Model, fine-tuned. Compiled or not.
        start: list of arrays, from `model.get_weights()` before fine-tuning, or another
            keras.Model of the same structure.
        alpha: float from 0, which gives the start bit for bit, to 1, which changes nothing.

    Raises:
        ValueError: if alpha is out of range or the start has other weights.

    Example:

    >>> import keras
    >>> import keras_transfer as kx
    >>> layers = [keras.Input([1]), keras.layers.Dense(1, kernel_initializer="ones")]
    >>> model = keras.Sequential(layers)
    >>> start = [weight + 1 for weight in model.get_weights()]
    >>> kx.interpolate_weights(model, start, alpha=0.25)
    >>> [weight.item() for weight in model.get_weights()]
    [1.75, 0.75]
    """
    _check_alpha(alpha)
    _assign(model, _start_weights(model, start), model.get_weights(), alpha)


def best_interpolation(
    model: keras.Model,
    start: keras.Model | Sequence[np.ndarray],
    validation_data: tf.data.Dataset,
    *,
    alphas: Sequence[float] = TENTHS,
    monitor: str | None = None,
    mode: Literal["min", "max"] | None = None,
    verbose: bool = True,
) -> tuple[float, list[dict[str, float]]]:
    """Evaluates several interpolations on validation data and sets the model to the best.

    For what is interpolated see `kx.interpolate_weights`. Among equals the lower loss wins, then
    the larger alpha. If anything fails the model has its fine-tuned weights again.

    Reference: Wortsman et al., "Robust fine-tuning of zero-shot models" (WiSE-FT), CVPR 2022.

    Args:
        model: keras.Model, fine-tuned; compiled, or made by `kx.Classifier` or `kx.Regressor`.
        start: as for `kx.interpolate_weights`.
        validation_data: tf.data.Dataset of batches `(pictures, labels)`, finite. Not the test
            set, and for robustness pictures like those that the model is to meet.
        alphas: list of floats from 0 to 1. Defaults to 0, 0.1, ..., 1.
        monitor: name of the figure that decides. Defaults to "accuracy", or "loss" where the
            model has no such metric.
        mode: "min" or "max", the better direction of `monitor`; known for "accuracy", "loss" and
            "mean_absolute_error".
        verbose: bool. Whether to show a progress bar.

    Returns:
        The best alpha, and one dict for each alpha in turn: "alpha", "loss" and the metrics.

    Raises:
        ValueError: if an alpha is out of range, the start has other weights, the dataset is
            infinite or empty, or `monitor` is not among the figures.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> data = kx.arrays(np.zeros([8, 32, 32, 3], "uint8"), [0, 1] * 4, validation_split=0.5)
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> model = kx.Classifier(backbone, data.class_names)
    >>> start = model.get_weights()  # then fine-tune
    >>> best, figures = kx.best_interpolation(model, start, data.validation, alphas=[0, 1])
    >>> best, sorted(figures[0])
    (1, ['accuracy', 'alpha', 'loss'])
    """
    for alpha in alphas:
        _check_alpha(alpha)
    size = int(validation_data.cardinality())
    if not len(alphas) or size in (0, tf.data.INFINITE_CARDINALITY):
        raise ValueError(
            "Expected at least one alpha, and a finite dataset of at least one batch. Received: "
            f"alphas={alphas}, a dataset of {size} batches (-1: infinite)."
        )
    weights = _start_weights(model, start)
    tuned = model.get_weights()
    compiled = _compiled(model)
    figures: list[dict[str, float]] = []
    try:
        for alpha in track(alphas, "Interpolating", show=verbose):
            _assign(model, weights, tuned, alpha)
            found = compiled.evaluate(validation_data, verbose=0, return_dict=True)
            figures.append({"alpha": alpha} | {name: float(x) for name, x in found.items()})
            best = _best(figures, monitor, mode)
    except BaseException:
        model.set_weights(tuned)
        raise
    _assign(model, weights, tuned, best)
    return best, figures


def _assign(
    model: keras.Model, start: Sequence[np.ndarray], tuned: Sequence[np.ndarray], alpha: float
) -> None:
    for variable, value in zip(model.weights, _mixed(start, tuned, alpha), strict=True):
        variable.assign(value)


def _mixed(
    start: Sequence[np.ndarray], tuned: Sequence[np.ndarray], alpha: float
) -> Iterator[np.ndarray]:
    for before, after in zip(start, tuned, strict=True):
        if alpha == 0:
            yield before
        elif alpha == 1 or not keras.backend.is_float_dtype(after.dtype.name):
            yield after
        else:
            mixed = (1 - alpha) * before.astype("float64") + alpha * after.astype("float64")
            yield mixed.astype(after.dtype)


def _start_weights(
    model: keras.Model, start: keras.Model | Sequence[np.ndarray]
) -> Sequence[np.ndarray]:
    if start is model:
        raise ValueError(
            "Expected the weights from before fine-tuning: take `start = model.get_weights()` "
            "then. Received: the fine-tuned model itself."
        )
    given = start.get_weights() if isinstance(start, keras.Model) else start
    weights = [np.asarray(value) for value in given]
    for weight, value in zip(model.weights, weights, strict=False):
        if tuple(weight.shape) != value.shape:
            raise ValueError(
                f"Expected a start of the same structure, with {tuple(weight.shape)} for "
                f"{weight.path!r}. Received: {value.shape}."
            )
    if len(weights) != len(model.weights):
        raise ValueError(
            f"Expected a start of the same structure, with {len(model.weights)} weights. "
            f"Received: {len(weights)}."
        )
    return weights


def _compiled(model: keras.Model) -> keras.Model:
    """The model, or another of the same layers, so that this one stays as it was."""
    if model.compiled:
        return model
    task = task_of(model)
    same = keras.Model(model.inputs, model.outputs)
    same.compile(loss=task.loss(), metrics=task.metrics())
    return same


def _best(figures: list[dict[str, float]], monitor: str | None, mode: str | None) -> float:
    monitor = monitor or ("accuracy" if "accuracy" in figures[0] else "loss")
    mode = mode or _DIRECTIONS.get(monitor)
    if monitor not in figures[0] or mode not in ("min", "max"):
        raise ValueError(
            f"Expected `monitor` to be one of {list(figures[0])[1:]}, and a `mode` of 'min' or "
            f"'max' with it. Received: monitor={monitor!r}, mode={mode!r}."
        )
    sign = 1 if mode == "max" else -1
    # A figure of NaN is worse than any other.
    values = [np.nan_to_num((sign * row[monitor], -row["loss"]), nan=-np.inf) for row in figures]
    rows = zip(values, figures, strict=True)
    return max((*value, row["alpha"]) for value, row in rows)[-1]


def _check_alpha(alpha: float) -> None:
    if not 0 <= alpha <= 1:
        raise ValueError(f"Expected `alpha` to be from 0 to 1. Received: alpha={alpha}.")
