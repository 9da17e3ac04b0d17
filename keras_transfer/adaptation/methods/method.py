"""What every method of domain adaptation has."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import tensorflow as tf


class DomainBatch(NamedTuple):
    """What a method sees of a batch of one domain; of all replicas, where there are several.

    `kx.DomainAdaptation` makes one of the source and one of the target for the `term` of a
    `kx.Method`.

    Attributes:
        inputs: what the model got: a tensor `[n, ...]`, or a structure of them. None unless the
            method `needs_inputs`.
        features: float32 tensors `[n, width]`, one for each compared layer, the deepest last. What
            was no vector is pooled over its places.
        logits: float32 tensor `[n, classes]`.
        labels: float32 tensor `[n, classes]`, each row a distribution, or zeros where the example
            has no label; None where the domain has none.
        weights: float32 tensor `[n]` of at least 0: sample weights, 1 where none were given.
        classify: gives the logits of such features of the deepest layer; differentiable.
        training: bool. Whether the batch is trained on.
    """

    inputs: Any
    features: tuple[tf.Tensor, ...]
    logits: tf.Tensor
    labels: tf.Tensor | None
    weights: tf.Tensor
    classify: Callable[[tf.Tensor], tf.Tensor]
    training: bool = True


class Method(keras.layers.Layer, abc.ABC):
    """A term that `kx.DomainAdaptation` adds to the loss of the labels; the base of all methods.

    To write a method, write its `term`; `prepare` too if it has weights of its own, such as a
    discriminator's, which are layers kept as attributes. It works in float32. What needs no more
    than the features of both domains and their weights may be a plain function instead.

    Args:
        kwargs: `name`, str, as for every Keras layer.

    Attributes:
        needs_target_labels: bool. Whether it is one for targets of which some have labels.
        needs_inputs: bool. Whether it looks at the inputs, so that `kx.fine_tune` has to run the
            frozen part in every epoch.
        default_weight: float. What it weighs in the loss where nothing else is said.

    Example:

    A method that asks for certain predictions on the target:

    >>> import keras, numpy as np, tensorflow as tf
    >>> import keras_transfer as kx
    >>> class Certainty(kx.Method):
    ...     default_weight = 0.1
    ...
    ...     def term(self, source: kx.DomainBatch, target: kx.DomainBatch) -> tf.Tensor:
    ...         probabilities = tf.nn.softmax(target.logits)
    ...         logs = tf.nn.log_softmax(target.logits)
    ...         entropies = -tf.reduce_sum(probabilities * logs, axis=1)
    ...         total = tf.reduce_sum(target.weights)
    ...         return tf.math.divide_no_nan(tf.reduce_sum(target.weights * entropies), total)
    >>> body = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="relu")])
    >>> adapted = kx.DomainAdaptation(kx.Classifier(body, 2), Certainty(), schedule="constant")
    >>> adapted.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> source = tf.data.Dataset.from_tensors((np.eye(3), [0, 1, 1]))
    >>> pairs = kx.pair_domains(source, tf.data.Dataset.from_tensors(1 - np.eye(3)))
    >>> logs = adapted.fit(pairs, verbose=0).history
    >>> round(logs["adaptation_loss"][0], 4)  # 0.1 * log(2): a new model knows nothing
    0.0693
    """

    needs_target_labels: ClassVar[bool] = False
    needs_inputs: ClassVar[bool] = False
    default_weight: ClassVar[float] = 1.0

    def __init__(self, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; always float32, so no dtype."""
        return {"name": self.name}

    def prepare(self, widths: Sequence[int], num_classes: int, inputs: Any) -> None:
        """Builds what the method has of weights; called once.

        Args:
            widths: of the features of each compared layer.
            num_classes: int.
            inputs: the model's symbolic inputs.
        """

    @abc.abstractmethod
    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The loss to be added, a float32 scalar; differentiable in features and logits.

        Args:
            source: labeled.
            target: without labels, unless `needs_target_labels`.
        """
