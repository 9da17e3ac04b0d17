"""What a model predicts for all of a dataset, without a trace in how it is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.models.compared_features import compared_features
from keras_transfer.models.tasks import REGRESSION, SEVERAL_CLASSES


class Predictions(NamedTuple):
    """What is known of all examples of a dataset.

    Attributes:
        probabilities: float64 `[n, classes]`; NaN where the logits are.
        features: float32 `[n, width]`, those in front of the last layer or the deepest that are
            compared; None where they are not asked for or the model does not tell them.
        labels: as the dataset has them, or None where they are not asked for.
    """

    probabilities: np.ndarray
    features: np.ndarray | None
    labels: np.ndarray | None


class HeldOut:
    """A dataset that a model predicts again and again; its function is traced once a model.

    It is read in batches as it has them and on one replica, so that the last one may be smaller.
    The model runs in inference mode, outside of `predict`, `evaluate` and their metrics.

    Args:
        dataset: tf.data.Dataset of batches, finite: inputs, or tuples that begin with them.
        name: what the dataset is called in messages, "source" or "target".
    """

    def __init__(self, dataset: tf.data.Dataset, name: str):
        if not isinstance(dataset, tf.data.Dataset):
            raise ValueError(
                f"Expected `{name}` to be a tf.data.Dataset. Received: {type(dataset)}."
            )
        if int(dataset.cardinality()) in (0, tf.data.INFINITE_CARDINALITY):
            raise ValueError(
                f"Expected `{name}` to be finite and to have a batch at least; `.take(n)` makes an "
                f"infinite dataset finite. Received: {dataset}."
            )
        self.dataset = dataset
        self.name = name
        self._features: tuple[keras.Model, tf.data.Dataset] | None = None
        self._traced: tuple[keras.Model, bool] | None = None
        self._run: Any = None

    def in_tuples(self) -> tf.data.Dataset:
        """The dataset, of tuples that begin with inputs."""
        if isinstance(self.dataset.element_spec, tuple):
            return self.dataset
        return self.dataset.map(lambda inputs: (inputs,))

    @contextlib.contextmanager
    def on_features(self, tail: keras.Model, dataset: tf.data.Dataset) -> Iterator[None]:
        """While it lasts, the end of the model predicts what its frozen part gives.

        Args:
            tail: keras.Model that gives for features what the model gives for inputs.
            dataset: tf.data.Dataset, `in_tuples()` with features in the place of inputs.
        """
        self._features = tail, dataset
        try:
            yield
        finally:
            self._features = self._traced = self._run = None

    def predict(self, model: keras.Model, *, features: bool, labels: bool) -> Predictions:
        """Runs the model on all batches.

        Raises:
            ValueError: if there are no labels where they are asked for, the dataset is empty, or
                the model gives no logits `[n, classes]`.
        """
        whole, (model, dataset) = model, self._features or (model, self.dataset)
        if self._traced is None or self._traced[0] is not model or self._traced[1] != features:
            _check_classifier(whole)
            self._traced = model, features
            self._run = _function(model, features, dataset.element_spec)
        with self._as_domain(model):
            found = [self._batch(batch, labels) for batch in dataset]
        if not found:
            raise ValueError(
                f"Expected `{self.name}` to have a batch at least. Received: an empty dataset."
            )
        logits, given, of_labels = zip(*found, strict=True)
        return Predictions(
            _softmax(np.concatenate(logits)),
            np.concatenate(given) if features else None,
            np.concatenate(of_labels) if labels else None,
        )

    def _as_domain(self, model: keras.Model) -> Any:
        """Entered whenever the function runs, as a model may swap statistics of BatchNorm."""
        plain = contextlib.nullcontext
        return getattr(model, "as_source", plain)() if self.name == "source" else plain()

    def _batch(
        self, batch: Any, labels: bool
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        inputs, *rest = batch if isinstance(batch, tuple) else (batch,)
        if labels and not rest:
            raise ValueError(
                f"Expected `{self.name}` to hold batches (inputs, labels). Received: "
                f"{self.dataset.element_spec}."
            )
        logits, features = self._run(inputs)
        return (
            logits.numpy(),
            None if features is None else features.numpy(),
            np.asarray(rest[0]) if labels else None,
        )


def tells_features(model: keras.Model) -> bool:
    """Whether features of the model are known: it is adapted, or ends in a dense layer."""
    try:
        _with_features(model)
    except ValueError:
        return False
    return True


def _with_features(model: keras.Model) -> keras.Model:
    """That of a `kx.DomainAdaptation`, or of a model that ends in a dense layer."""
    return getattr(model, "feature_model", None) or compared_features(model)


def _function(model: keras.Model, features: bool, spec: Any) -> Any:
    inputs = spec[0] if isinstance(spec, tuple) else spec
    # Of any length: no second trace for the last batch. XLA is slow at this on CPUs, and knows
    # no words.
    signature = tf.nest.map_structure(_any_length, inputs)
    return tf.function(_forward(model, features), [signature], jit_compile=False, autograph=False)


def _forward(model: keras.Model, features: bool) -> Callable[..., Any]:
    if not features:
        return lambda inputs: (_logits(model(inputs, training=False), model), None)
    both = _with_features(model)

    def run(inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        *_, given, logits = both(inputs, training=False)
        return _logits(logits, model), tf.cast(given, tf.float32)

    return run


def _check_classifier(model: keras.Model) -> None:
    trained = getattr(model, "model", model) if hasattr(model, "as_source") else model
    last = trained.layers[-1] if trained.layers else None
    name = getattr(last, "name", None)
    of_others = name in (SEVERAL_CLASSES.output_name, REGRESSION.output_name)
    bounded = getattr(last, "activation", None) in (
        keras.activations.softmax,
        keras.activations.sigmoid,
    )
    if of_others or bounded:
        raise ValueError(
            "Expected a classifier of one class an example that gives logits, such as "
            "kx.Classifier makes: its last layer without an activation. Received: model "
            f"{model.name!r} that ends in {name!r}."
        )


def _logits(logits: Any, model: keras.Model) -> tf.Tensor:
    shape = getattr(logits, "shape", None)
    if shape is None or len(shape) != 2 or (shape[1] or 2) < 2:
        raise ValueError(
            "Expected a model that gives logits of shape (batch, classes), of 2 classes at least. "
            f"Received: model {model.name!r} that gives {shape or type(logits)}."
        )
    return tf.cast(logits, tf.float32)


def _any_length(spec: Any) -> Any:
    if not isinstance(spec, tf.TensorSpec) or not spec.shape.rank:
        return spec
    return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype)


def _softmax(logits: np.ndarray) -> np.ndarray:
    values = logits.astype("float64")
    with np.errstate(invalid="ignore"):  # infinite logits give NaN
        exps = np.exp(values - values.max(1, keepdims=True))
    return exps / exps.sum(1, keepdims=True)
