"""Penalties on the weights: towards their pretrained values, or towards zero."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_transfer.models.backbone_and_head import split_off_head, weights_of_loss


class WeightRegularizer(abc.ABC):
    """A penalty on a model's trainable weights, of its own strength for backbone and head.

    Applied to a built model it sets the `regularizer` of the model's variables, so that Keras's
    own `compile` and `fit` add the penalty to the loss, exactly also over several replicas and
    under loss scaling. The penalty is computed in float32 and follows the `trainable` flags.
    Regularizers that the layers brought along stay in force beside it. Layers and their configs
    are not touched: a model saved meanwhile loads without the penalty.

    As for every regularizer of Keras, the `loss` and `val_loss` that are shown include it.

    Attributes:
        backbone: float. Strength on the weights of the backbone.
        head: float. Strength on those of the head, see `kx.split_into_blocks`.
    """

    def __init__(self, backbone: float, head: float):
        for name, strength in (("backbone", backbone), ("head", head)):
            if not 0 <= strength < math.inf:
                raise ValueError(
                    f"Expected `{name}` to be a finite number of at least 0. Received: "
                    f"{name}={strength}."
                )
        self.backbone = backbone
        self.head = head

    @abc.abstractmethod
    def start_of(self, value: np.ndarray) -> keras.Variable | None:
        """What a weight of the backbone that began at this value is pulled to; None for zero."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"backbone": self.backbone, "head": self.head}

    def apply(self, model: keras.Model, start: Sequence[np.ndarray] | None = None) -> None:
        """Puts the penalty on all weights of the model.

        Strategies may change `trainable` flags before and afterwards.

        Args:
            model: keras.Model, built. Compile it afterwards.
            start: arrays as of `model.get_weights()`, to pull towards; None for the weights that
                the model has now.

        Raises:
            ValueError: if the model has no weights yet, or has such a penalty already.
        """
        if not (model.built and model.weights):
            raise ValueError(
                "Expected a built model with weights: call it on a batch, or load its weights, "
                f"first. Received: model {model.name!r}."
            )
        if any(isinstance(weight.regularizer, _Pull) for weight in model.weights):
            raise ValueError(
                "Expected a model without such a penalty: call `remove(model)` first. "
                f"Received: model {model.name!r}."
            )
        backbone, head = _split_weights(model)
        values = model.get_weights() if start is None else start
        starts = {id(w): value for w, value in zip(model.weights, values, strict=True)}
        with model.distribute_strategy.scope():
            for weight in backbone if self.backbone else ():
                towards = self.start_of(starts[id(weight)])
                weight.regularizer = _Pull(self.backbone, weight.regularizer, towards)
        for weight in head if self.head else ():
            weight.regularizer = _Pull(self.head, weight.regularizer)
        _forget_traces(model)

    def remove(self, model: keras.Model) -> None:
        """Takes the penalty off; the regularizers from before `apply` are back.

        Args:
            model: keras.Model. One without the penalty stays as it is. Models of which it is a
                part have to be compiled again.
        """
        for weight in model.weights:
            if isinstance(weight.regularizer, _Pull):
                weight.regularizer = weight.regularizer.before
        _forget_traces(model)


class L2SP(WeightRegularizer):
    """Pulls the backbone towards the weights that it has when this is applied, the head to zero.

    Adds backbone/2 * ||w - w0||^2 + head/2 * ||w_head||^2 to the loss. For fine-tuning on few
    examples: the network keeps what it knows unless the examples speak against it. The values w0
    are copied when it is applied, so apply it to the pretrained model.

    Every trainable weight counts, biases and normalization too, as in the paper's formula. (The
    authors' code also has a variant for kernels alone; BatchNorm that is frozen, the default of
    `kx.Strategy`, is not concerned.) Being part of the gradient, the penalty is scaled by
    optimizers such as Adam as the rest of the gradient is.

    Reference: Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning with
    Convolutional Networks", ICML 2018.

    Args:
        backbone: float, at least 0. The paper tries 0.001 to 1; its best are 0.01 and 0.1.
            Defaults to 0.01.
        head: float, at least 0. Defaults to 0.01, the paper's.

    Raises:
        ValueError: if a strength is negative or not finite.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> model = kx.Classifier(backbone, 2)
    >>> regularizer = kx.L2SP(backbone=0.1, head=0)
    >>> regularizer.apply(model)  # then compile and fit
    >>> float(sum(model.losses))  # no weight has moved yet
    0.0
    >>> regularizer.remove(model)
    >>> model.losses
    []
    """

    def __init__(self, backbone: float = 0.01, head: float = 0.01):
        super().__init__(backbone, head)

    def start_of(self, value: np.ndarray) -> keras.Variable:
        """A variable that belongs to no layer: in no file, and no constant of a graph."""
        return keras.Variable(value, dtype="float32", trainable=False, name="start")


class L2(WeightRegularizer):
    """Pulls backbone and head towards zero.

    Adds backbone/2 * ||w||^2 + head/2 * ||w_head||^2 to the loss, over every trainable weight,
    biases and normalization too. What `kx.L2SP` is to be compared with; with plain SGD the same as
    weight decay. `kx.fine_tune` has decoupled weight decay already, in its AdamW.

    Reference: Krogh and Hertz, "A Simple Weight Decay Can Improve Generalization", NeurIPS 1991.

    Args:
        backbone: float, at least 0. Defaults to 0.0001.
        head: float, at least 0. Defaults to 0.01.

    Raises:
        ValueError: if a strength is negative or not finite.

    Example:

    >>> import keras
    >>> import keras_transfer as kx
    >>> layers = [keras.Input([1]), keras.layers.Dense(1, kernel_initializer="ones")]
    >>> model = keras.Sequential(layers)
    >>> kx.L2(head=0.5).apply(model)
    >>> float(sum(model.losses))
    0.25
    """

    def __init__(self, backbone: float = 1e-4, head: float = 0.01):
        super().__init__(backbone, head)

    def start_of(self, value: np.ndarray) -> None:
        """Zero."""
        return


class _Pull(keras.regularizers.Regularizer):
    """strength / 2 * ||weight - start||^2, and what the variable's regularizer was before."""

    def __init__(
        self,
        strength: float,
        before: keras.regularizers.Regularizer | None,
        start: keras.Variable | None = None,
    ):
        self.strength = strength
        self.before = before
        self.start = start

    def __call__(self, weight: keras.Variable) -> keras.KerasTensor:
        difference = keras.ops.cast(weight, "float32")
        if self.start is not None:
            difference -= self.start
        penalty = self.strength / 2 * keras.ops.sum(keras.ops.square(difference))
        if self.before is None:
            return penalty
        return penalty + keras.ops.cast(self.before(weight), "float32")


def _split_weights(model: keras.Model) -> tuple[list[keras.Variable], list[keras.Variable]]:
    """Frozen ones too, as they may be trained in a later stage: Keras asks the trainable ones."""
    blocks, _ = split_off_head(model)
    backbone = {id(weight) for block in blocks for weight in block.weights}
    of_loss = weights_of_loss(model)
    floating = [
        weight
        for weight in model.weights
        if keras.backend.is_float_dtype(weight.dtype) and id(weight) not in of_loss
    ]
    return (
        [weight for weight in floating if id(weight) in backbone],
        [weight for weight in floating if id(weight) not in backbone],
    )


def _forget_traces(model: keras.Model) -> None:
    """A model that was compiled before would go on with the penalty it was traced with."""
    model.train_function = model.test_function = None
