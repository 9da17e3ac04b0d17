"""AdaBN: BatchNorm's statistics from another data set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer._progress import track
from keras_transfer.backbones.hub_layer import HubLayer
from keras_transfer.models.blocks import flatten

# How many values each channel has, their mean and their variance.
Moments = tuple[Any, Any, Any]


def adapt_batch_norm(
    model: keras.Model, target: tf.data.Dataset, *, passes: int = 2, verbose: bool = True
) -> None:
    """Gives every BatchNorm layer of a model the mean and variance of a target data set (AdaBN).

    Needs neither labels nor training, takes the time of `passes` predictions, and changes
    nothing but the moving means and variances: not those of layers in inference mode only, but
    all of them, nested and frozen ones too. For a model that was trained with BatchNorm on other
    pictures; before or instead of other methods. To go back, keep `model.get_weights()`.

    The statistics are those of all examples at once: batches count by their size, and the
    variance includes that of the batches' means. What is approximate are the inputs of layers
    that come after other BatchNorm layers: in the first pass each batch is normalized by its own
    statistics, as in training; later ones use what the pass before found. So after k passes the
    first k such layers on every path are exact, and the rest is close. Everything else runs as in
    inference, without dropout.

    Reference: Li et al., "Revisiting Batch Normalization for Practical Domain Adaptation", 2016.

    Args:
        model: keras.Model, built.
        target: tf.data.Dataset of batches of inputs, or of tuples of which they are the first;
            finite. Not augmented; more examples are better, of all classes.
        passes: int, at least 1. Defaults to 2.
        verbose: bool. Whether to show a progress bar.

    Raises:
        ValueError: if there is no BatchNorm, or one that cannot be reached as it is inside a TF
            Hub module, the data set is empty or infinite, or a statistic is not finite. The
            model's statistics are then as before.

    Example:

    >>> import keras, numpy as np, tensorflow as tf
    >>> import keras_transfer as kx
    >>> model = keras.Sequential([keras.Input([1]), keras.layers.BatchNormalization()])
    >>> target = tf.data.Dataset.from_tensor_slices(np.array([[1.0], [2.0], [6.0]])).batch(2)
    >>> kx.adapt_batch_norm(model, target, verbose=False)
    >>> [round(float(w[0]), 3) for w in model.layers[0].non_trainable_weights]
    [3.0, 4.667]
    """
    if passes < 1:
        raise ValueError(f"Expected `passes` of at least 1. Received: passes={passes}.")
    size = int(target.cardinality())
    if size in (0, tf.data.INFINITE_CARDINALITY):
        raise ValueError(
            "Expected a finite dataset of at least one batch. Received: one of "
            f"{size} batches (-1: infinite)."
        )
    layers = _batch_norm_layers(model)
    before = [(layer.moving_mean.numpy(), layer.moving_variance.numpy()) for layer in layers]
    try:
        for number in range(passes):
            shown = f"Adapting BatchNorm, pass {number + 1} of {passes}"
            total = size if size >= 0 else None
            batches = track(target, shown, total=total, show=verbose)
            _assign(layers, _moments(model, layers, batches, by_batch=number == 0))
    except BaseException:
        for layer, (mean, variance) in zip(layers, before, strict=True):
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        raise


def _batch_norm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    inside = list(flatten(model))
    layers = [layer for layer in inside if isinstance(layer, keras.layers.BatchNormalization)]
    hidden = [layer for layer in inside if isinstance(layer, HubLayer) and layer.keeps_statistics]
    if hidden or not layers or not all(layer.built for layer in layers):
        found = f"model {model.name!r} with {len(layers)} BatchNormalization layers"
        if hidden:
            found += f", and a TF Hub module with statistics of its own, {hidden[0].name!r}"
        raise ValueError(
            "Expected a built model with BatchNormalization layers, all of them Keras's own: "
            "those inside a TF Hub module cannot be reached, and without any there is nothing to "
            f"adapt. Received: {found}."
        )
    return layers


def _moments(
    model: keras.Model,
    layers: list[keras.layers.BatchNormalization],
    batches: Iterator[Any],
    *,
    by_batch: bool,
) -> dict[int, Moments]:
    """What each layer that is run gets over all batches."""

    @tf.function(reduce_retracing=True)
    def run(inputs: Any) -> dict[int, list[Moments]]:
        with _recording(layers, by_batch) as found:
            model(inputs, training=False)
        return found

    total: dict[int, Moments] = {}
    for batch in batches:
        found = run(batch[0] if isinstance(batch, tuple) else batch)
        for number, calls in found.items():
            for moments in calls:
                exact = tuple(value.numpy().astype(np.float64) for value in moments)
                total[number] = _merged(total.get(number, (0.0, 0.0, 0.0)), exact)
    return total


@contextlib.contextmanager
def _recording(
    layers: list[keras.layers.BatchNormalization], by_batch: bool
) -> Iterator[dict[int, list[Moments]]]:
    """Meanwhile the layers note the moments of what they get, once a call.

    In training mode they would note them too, but dropout would be active as well.
    """
    found: dict[int, list[Moments]] = {number: [] for number in range(len(layers))}
    for layer, calls in zip(layers, found.values(), strict=True):
        layer.call = _noting(layer, layer.call, by_batch, calls.append)
    try:
        yield found
    finally:
        for layer in layers:
            del layer.call


def _noting(
    layer: keras.layers.BatchNormalization,
    call: Callable[..., Any],
    by_batch: bool,
    note: Callable[[Moments], None],
) -> Callable[..., Any]:
    def noting(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        inputs = keras.ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        count, mean, variance = _moments_of(inputs, layer.axis, mask)
        note((count, mean, variance))
        if not by_batch:
            return call(inputs, training=False)
        outputs = keras.ops.batch_normalization(
            inputs, mean, variance, layer.axis, layer.beta, layer.gamma, layer.epsilon
        )
        return keras.ops.cast(outputs, layer.compute_dtype)

    return noting


def _moments_of(inputs: tf.Tensor, axis: int, mask: Any) -> Moments:
    rank = inputs.shape.rank
    axes = [number for number in range(rank) if number != axis % rank]
    if mask is None:
        mean, variance = tf.nn.moments(inputs, axes)
        return tf.size(inputs) // tf.size(mean), mean, variance
    weights = tf.cast(mask, inputs.dtype)[..., tf.newaxis]
    count = tf.reduce_sum(weights)
    mean = tf.math.divide_no_nan(tf.reduce_sum(weights * inputs, axes), count)
    squares = weights * (inputs - mean) ** 2
    return count, mean, tf.math.divide_no_nan(tf.reduce_sum(squares, axes), count)


def _merged(one: Moments, other: Moments) -> Moments:
    """The moments of both together."""
    (count, mean, variance), (more, other_mean, other_variance) = one, other
    share = more / max(count + more, 1)
    apart = other_mean - mean
    within = variance + share * (other_variance - variance)
    return count + more, mean + share * apart, within + share * (1 - share) * apart**2


def _assign(layers: list[keras.layers.BatchNormalization], moments: dict[int, Moments]) -> None:
    if not moments:
        raise ValueError("Expected a dataset of at least one batch. Received: an empty one.")
    for number, layer in enumerate(layers):
        if number not in moments:
            continue
        _, mean, variance = moments[number]
        if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
            raise ValueError(
                "Expected finite inputs to every BatchNormalization layer; look for values in the "
                f"data that are none. Received: others for layer {layer.name!r}."
            )
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
