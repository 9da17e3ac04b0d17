"""A dense layer on fixed features, solved for instead of trained step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.models.split_frozen import split_frozen
from keras_transfer.strategies.strategy import Strategy
from keras_transfer.training.inputs import preparation

# Iterations of L-BFGS; it is mostly done after a third of them.
MAX_ITERATIONS = 500
# Of half the squared kernel over the number of examples; the best of four on validation data.
PENALTY = 100.0


def solve_linear_head(
    model: keras.Model,
    strategy: Strategy,
    train: tf.data.Dataset,
    validation: tf.data.Dataset | None,
    *,
    cache: FeatureCache,
    options: dict[str, Any],
    weights: np.ndarray | None,
    penalized: bool,
    verbose: bool,
) -> list[keras.callbacks.History]:
    """Minimizes the loss over all examples at once; the history has one epoch.

    Args:
        model: keras.Model, changed in place.
        strategy: of one stage.
        train: tf.data.Dataset of batches `(pictures, labels)`.
        validation: tf.data.Dataset of the same, or None.
        cache: holds the features.
        options: of `keras.Model.compile`, without an optimizer.
        weights: float array `(classes,)`, the weight of each class, or None.
        penalized: whether the weights have a regularizer already.
        verbose: whether to show progress.

    Raises:
        ValueError: if what is trained is not a single dense layer on frozen features.
    """
    strategy.apply(model)
    frozen_part, tail = split_frozen(model)
    dense = _dense_layer(tail)
    tail.compile(None, **options)
    opened = cache.open(frozen_part, verbose=verbose)
    found = [opened.find(data) for data in (train, validation) if data is not None]
    batches = found[0].through(preparation(model, None, None, weights))
    inputs, *rest = _together(batches)
    penalty = 0.0 if penalized else PENALTY / len(rest[0])
    _minimize(tail, dense, penalty, inputs, *rest)
    logs = dict(tail.evaluate(batches, verbose=0, return_dict=True))
    if validation is not None:
        of_validation = tail.evaluate(found[1].dataset(), verbose=0, return_dict=True)
        logs |= {f"val_{name}": value for name, value in of_validation.items()}
    for part in found:
        part.close()
    history = keras.callbacks.History()
    history.set_model(model)
    history.on_train_begin()
    history.on_epoch_end(0, logs)
    return [history]


def _dense_layer(tail: keras.Model) -> keras.layers.Dense:
    trained = [layer for layer in tail.layers if layer.weights]
    if len(trained) != 1 or not isinstance(trained[0], keras.layers.Dense):
        raise ValueError(
            'Expected a single dense layer behind the frozen part for `solver="lbfgs"`, such as '
            "kx.Classifier has without `hidden` and `standardize`, with kx.FeatureExtraction(). "
            f"Received: {[f'{x.name} ({type(x).__name__})' for x in trained]}."
        )
    return trained[0]


def _together(batches: tf.data.Dataset) -> list[Any]:
    """All examples as one batch."""
    columns = zip(*batches, strict=True)
    return [
        tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *column) for column in columns
    ]


def _minimize(tail: keras.Model, dense: keras.layers.Dense, penalty: float, *batch: Any) -> None:
    """Sets the dense layer's weights to the minimum of the mean loss."""
    from scipy import optimize

    variables = dense.trainable_variables

    @tf.function(autograph=False, jit_compile=False)
    def loss_and_gradients() -> tuple[tf.Tensor, Sequence[tf.Tensor]]:
        inputs, labels, *weights = batch
        with tf.GradientTape() as tape:
            outputs = tail(inputs, training=False)
            loss = tail.compute_loss(inputs, labels, outputs, *weights, training=False)
            loss += penalty / 2 * tf.reduce_sum(dense.kernel**2)
        return loss, tape.gradient(loss, variables)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        _assign(variables, flat)
        loss, gradients = loss_and_gradients()
        joined = np.concatenate([np.ravel(g) for g in gradients])
        return float(loss), joined.astype("float64")

    start = np.concatenate([np.ravel(v) for v in variables]).astype("float64")
    limits = {"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS}
    best = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=limits)
    _assign(variables, best.x)


def _assign(variables: Sequence[keras.Variable], flat: np.ndarray) -> None:
    ends = np.cumsum([np.prod(v.shape, dtype=int) for v in variables])
    for variable, values in zip(variables, np.split(flat, ends[:-1]), strict=True):
        variable.assign(values.reshape(variable.shape))
