"""How fast each step of training is, and which of them the others wait for."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.caching.runner import Runner
from keras_transfer.data.dataset_copy import independent_copy
from keras_transfer.data.examples import examples_of
from keras_transfer.models.exactness import trains_plainly
from keras_transfer.models.graph import is_graph, trace
from keras_transfer.models.split_frozen import split_frozen
from keras_transfer.training.compiling import compile_options
from keras_transfer.training.untouched import untouched

_WARM_UP = 0.25  # of the time that is measured after it
_FASTER_DATA = "Smaller files or more cores would help. "
_FASTER_STEP = "A larger batch or fewer blocks to train would help. "


@dataclasses.dataclass(frozen=True)
class PipelineProfile:
    """How fast each step of training is, from `kx.profile_pipeline`; `str` says it in one line.

    Attributes:
        examples_per_second: dict from "decode", "frozen part" and "tail" to floats; from "decode"
            and "training step" where there is no frozen part.
        with_cache: float. What an epoch gives at most once `kx.fine_tune` has run the frozen part:
            the tail's speed, or that of decoding where it is slower and the cache does not spare
            it, in datasets that are not of this package. None where there is no frozen part.
        reason: str. Why there is no frozen part; None where there is one.

    Example:

    >>> import keras_transfer as kx
    >>> kx.PipelineProfile({"decode": 900.0, "training step": 40.0}).bottleneck
    'training step'
    """

    examples_per_second: dict[str, float]
    with_cache: float | None = None
    reason: str | None = None

    @property
    def bottleneck(self) -> str:
        """The slowest step, a key of `examples_per_second`."""
        return min(self.examples_per_second, key=self.examples_per_second.__getitem__)

    def __str__(self) -> str:
        (_, decode), *others = self.examples_per_second.items()
        told = [f"decoding gives {_rounded(decode)} pictures/s"]
        told += [f"the {name} {_rounded(rate)}" for name, rate in others]
        slowest = "Decoding" if self.bottleneck == "decode" else f"The {self.bottleneck}"
        return f"{slowest} is the bottleneck: {', '.join(told)}. {self._hint()}"

    def _hint(self) -> str:
        hint = _FASTER_DATA if self.bottleneck == "decode" else _FASTER_STEP
        if self.with_cache is None:
            return f"{hint}No frozen part to run once: {self.reason}"
        it, hint = ("it", "") if self.bottleneck == "frozen part" else ("the frozen part", hint)
        free = self.with_cache > self.examples_per_second["decode"]
        return (
            f"{hint}kx.fine_tune runs {it} once for each picture; epochs then run at up to "
            f"{_rounded(self.with_cache)}{', without decoding' if free else ''}."
        )


def profile_pipeline(
    data: tf.data.Dataset, model: keras.Model, *, seconds: float = 5.0, verbose: bool = True
) -> PipelineProfile:
    """Measures how fast each step of training is, and says which is the bottleneck.

    The steps are "decode", iterating over the dataset; "frozen part", running the beginning that
    `kx.split_frozen` gives; and "tail", a training step of what is behind it up to the gradients.
    Where there is no such beginning, or to run it once would not be exact, a "training step" of
    the whole model takes the place of the last two. They are measured one after the other, on the
    first batch and one replica: where they share a processor, all at once would be slower.

    Model and random states are afterwards what they were, bit for bit. The dataset is read as a
    copy: a shuffle goes on as if it had never been read, and a `cache` inside counts as empty.

    Args:
        data: tf.data.Dataset of batches `(pictures, labels[, weights])`; repeated if it is short.
        model: keras.Model, functional or sequential; what is frozen by its flags now. If it was
            compiled, its loss is used; else the loss follows from its head.
        seconds: float above 0, for all steps alike; warm-up and tracing come on top.
        verbose: bool. Whether to print the profile.

    Returns:
        A `kx.PipelineProfile`: `.bottleneck`, `.examples_per_second` and `str(profile)`.

    Raises:
        ValueError: if there is no such batch, `seconds` is out of range, the loss cannot be told
            from the model, or that is not built or of a class that may train in a way of its own.

    Warns:
        UserWarning: if the dataset cannot be copied, so that the original is read.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> data = kx.arrays(np.zeros([16, 8, 8, 3], "uint8"), [0, 1] * 8, validation_split=0.5)
    >>> backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    >>> model = kx.Classifier(backbone, data.class_names)
    >>> kx.FeatureExtraction().apply(model)
    >>> profile = kx.profile_pipeline(data.train, model, seconds=0.1, verbose=False)
    >>> list(profile.examples_per_second)
    ['decode', 'frozen part', 'tail']
    """
    _check(data, model, seconds)
    options = compile_options(model, mixed_labels=False)
    with untouched(model):
        batch, decode = _decode(_copy(data), seconds / 3)
        rates, reason = _rates(model, options, batch, seconds / 3)
    with_cache = rates.get("tail")
    if with_cache is not None and examples_of(data) is None:
        with_cache = min(with_cache, decode)
    profile = PipelineProfile({"decode": decode, **rates}, with_cache, reason)
    if verbose:
        print(profile)
    return profile


def _decode(data: tf.data.Dataset, seconds: float) -> tuple[Any, float]:
    """The first batch, and the examples a second; nothing goes on reading afterwards."""
    batches = iter(data.repeat())
    first = next(batches, None)
    if first is None:
        raise ValueError(f"Expected `data` with at least one batch. Received: {data}, empty.")
    return first, _per_second(lambda: _size(next(batches)), seconds)


def _rates(
    model: keras.Model, options: dict[str, Any], batch: Any, seconds: float
) -> tuple[dict[str, float], str | None]:
    """Of what the model does with a batch; and why it has no frozen part."""
    inputs, *rest = batch

    def rate(run: Callable[..., list[tf.Tensor]], *given: Any) -> float:
        def step() -> int:
            run(*given)[0].numpy()  # which waits until it is computed
            return _size(inputs)

        return _per_second(step, seconds)

    try:
        frozen_part, tail = split_frozen(model)
    except ValueError as error:
        whole = _training_step(trace(model)[0], options)
        return {"training step": rate(whole, *batch)}, " ".join(str(error).split())
    run, behind = Runner(frozen_part), _training_step(tail, options)
    features = run(inputs) if len(frozen_part.outputs) > 1 else run(inputs)[0]
    return {"frozen part": rate(run, inputs), "tail": rate(behind, features, *rest)}, None


def _training_step(model: keras.Model, options: dict[str, Any]) -> Callable[..., list[Any]]:
    """The loss of a batch and its gradients, compiled as `fit` would compile it."""
    model.compile(None, **{**options, "metrics": None, "weighted_metrics": None})

    def step(inputs: Any, labels: Any, weights: Any = None) -> list[Any]:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(inputs, labels, model(inputs, training=True), weights)
        # Gradients that nobody gets would not be computed.
        return [loss, *tape.gradient(loss, model.trainable_weights)]

    if model.run_eagerly:
        return step
    return tf.function(step, jit_compile=model.jit_compile, autograph=False)


def _per_second(step: Callable[[], int], seconds: float) -> float:
    """How much a second a step gives; calls that trace and fill buffers come before."""
    for share in (_WARM_UP, 1.0):
        amount, elapsed, start = 0, -1.0, time.perf_counter()
        while elapsed < share * seconds:
            amount += step()
            elapsed = time.perf_counter() - start
    return amount / elapsed


def _size(batch: Any) -> int:
    return int(tf.nest.flatten(batch)[0].shape[0])


def _rounded(rate: float) -> str:
    return f"{float(f'{rate:.3g}'):.0f}" if rate >= 10 else f"{rate:.2g}"


def _copy(data: tf.data.Dataset) -> tf.data.Dataset:
    try:
        return independent_copy(data)
    except ValueError as error:
        told = "The profile reads the dataset itself, so later epochs of it may differ."
        warnings.warn(f"{told} {error}", stacklevel=3)
        return data


def _check(data: Any, model: keras.Model, seconds: float) -> None:
    spec = data.element_spec if isinstance(data, tf.data.Dataset) else None
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(
            "Expected `data` to be a tf.data.Dataset of batches (pictures, labels), such as "
            f"kx.arrays(x, y).train. Received: {type(data).__name__} of {spec}."
        )
    if not 0 < seconds < float("inf"):
        raise ValueError(f"Expected `seconds` above 0. Received: seconds={seconds}.")
    if not is_graph(model) or not trains_plainly(model):
        raise ValueError(
            "Expected a built functional or sequential model: another may train in a way of its "
            f"own. Received: {type(model).__name__} {model.name!r}, built={model.built}."
        )
