"""How the batches of two domains go through a model, as its BatchNorm layers see it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.models.exactness import NotExactError
from keras_transfer.models.notes import takes_text

Normalization = Literal["joint", "per_domain", "frozen"]
# Each pass gives the outputs of a model for the batch of the source and that of the target.
Outputs = tuple[list[tf.Tensor], list[tf.Tensor]]


class Passes:
    """Runs a model on both domains.

    Args:
        model: keras.Model whose outputs are a list.
        normalization: see `kx.DomainAdaptation`.

    Attributes:
        source_statistics: what the BatchNorm layers have seen of the source, where they keep that
            apart; else empty. Before training, those of the model count.
        has_trained: a keras.Variable of a bool that tells it, saved with these; None without them.

    Raises:
        ValueError: if there is no such normalization.
    """

    def __init__(self, model: keras.Model, normalization: Normalization):
        if normalization not in get_args(Normalization):
            raise ValueError(
                f"Expected `normalization` to be one of {get_args(Normalization)}. "
                f"Received: normalization={normalization!r}."
            )
        self._model = model
        self._layers = [
            layer
            for layer in model._flatten_layers()  # no public name
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        self._per_domain = normalization == "per_domain"
        self._frozen = normalization == "frozen"
        self._stackable = _stackable(model)
        self.freeze()
        statistics = self._target_statistics() if self._per_domain else []
        self.source_statistics = [
            keras.Variable(
                x,
                dtype=x.dtype,
                trainable=False,
                autocast=False,
                aggregation="mean",
                name=f"source_{x.name}",
            )
            for x in statistics
        ]
        self.has_trained = _bool("has_trained") if statistics else None

    def freeze(self) -> None:
        """Freezes what is to be frozen, as strategies set the flags of all layers."""
        for layer in self._layers if self._frozen else ():
            layer.trainable = False

    def on_tail(self, tail: keras.Model) -> Passes:
        """The same for the end of the model, which gets what the layers before it give.

        Raises:
            NotExactError: if that is not the same for source and target.
        """
        other = copy.copy(self)
        inside = {id(layer) for layer in tail._flatten_layers()}
        other._model = tail
        other._layers = [layer for layer in self._layers if id(layer) in inside]
        of_tail = {id(x) for x in other._target_statistics()}
        other.source_statistics = []
        if self.has_trained is not None and not self.has_trained.numpy():
            _assign(self.source_statistics, self._target_statistics())
        # Nothing is kept of the source unless it has a pass of its own.
        for of_target, of_source in zip(
            self._target_statistics(), self.source_statistics, strict=False
        ):
            if id(of_target) in of_tail:
                other.source_statistics.append(of_source)
            elif not np.array_equal(of_target, of_source):
                raise NotExactError("frozen BatchNorm layers have other statistics of the source.")
        return other

    def run(self, source: Any, target: Any, training: bool | None) -> Outputs:
        """What the model gives for a batch of each domain."""

        def outputs(inputs: Any) -> list[tf.Tensor]:
            return list(self._model(inputs, training=training))

        if self._per_domain:
            with self.as_source(keep=bool(training)):
                of_source = outputs(source)
            return of_source, outputs(target)
        if self._stackable:
            return _in_one(outputs, source, target)
        if any(layer.trainable for layer in self._layers):
            raise ValueError(
                "Expected inputs of fixed shape, as the model has BatchNorm layers that are not "
                "frozen: their statistics have to be of both domains at once. Freeze them, or "
                f"pass normalization='per_domain'. Received: inputs of {self._model.input_shape}."
            )
        return outputs(source), outputs(target)

    @contextlib.contextmanager
    def as_source(self, keep: bool = False) -> Iterator[None]:
        """While it lasts, BatchNorm layers have the statistics of the source.

        Args:
            keep: whether what they have at its end is of the source.
        """
        statistics = self._target_statistics() if self._per_domain else []
        of_target = [tf.identity(keras.ops.convert_to_tensor(x)) for x in statistics]
        _assign(statistics, self._of_source(of_target))
        try:
            yield
        finally:
            if keep and self.has_trained is not None:
                _assign(self.source_statistics, statistics)
                self.has_trained.assign(True)
            _assign(statistics, of_target)

    def _of_source(self, of_target: list[tf.Tensor]) -> list[tf.Tensor]:
        """Weights may be loaded into the model until training begins: they are the source's."""
        return [
            tf.where(keras.ops.convert_to_tensor(self.has_trained), own, other)
            for own, other in zip(self.source_statistics, of_target, strict=True)
        ]

    def _target_statistics(self) -> list[keras.Variable]:
        return [x for one in self._layers for x in (one.moving_mean, one.moving_variance)]


def _bool(name: str) -> keras.Variable:
    return keras.Variable(
        False, dtype="bool", trainable=False, aggregation="only_first_replica", name=name
    )


def _assign(variables: list[keras.Variable], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(keras.ops.convert_to_tensor(value))


def _stackable(model: keras.Model) -> bool:
    """Texts of unequal length are padded; pictures of unequal size would be others then."""
    return takes_text(model) or all(None not in x.shape[1:] for x in model.inputs)


def _stacked(one: Any, other: Any) -> tf.Tensor:
    one, other = tf.convert_to_tensor(one), tf.convert_to_tensor(other)
    if one.shape.rank == 2 and (one.shape[1] is None or one.shape[1] != other.shape[1]):
        # 0 in the mask, or as an id, is what tokenizers pad with, and models leave out.
        length = tf.maximum(tf.shape(one)[1], tf.shape(other)[1])
        one, other = (tf.pad(x, [[0, 0], [0, length - tf.shape(x)[1]]]) for x in (one, other))
    return tf.concat([one, other], 0)


def _in_one(run: Callable[[Any], list[tf.Tensor]], source: Any, target: Any) -> Outputs:
    """In one pass: statistics of the batch are those of both domains, as they are at inference."""
    both = tf.nest.map_structure(_stacked, source, target)
    rows = tf.shape(tf.nest.flatten(source)[0])[0]
    outputs = run(both)
    return [x[:rows] for x in outputs], [x[rows:] for x in outputs]
