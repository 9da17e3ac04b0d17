"""Losses that Keras lacks, or has in another form than int labels and logits."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_transfer")
class SparseLabels(keras.losses.Loss):
    """A loss of Keras for one-hot labels, on int labels.

    Keras has label smoothing and the focal loss for one-hot labels alone, while datasets hold
    int labels. Models compiled with it are loaded with `compile=False` where this package is
    missing.

    Args:
        loss: keras.losses.Loss for labels `(batch, classes)`, such as
            `keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)` or
            `keras.losses.CategoricalFocalCrossentropy(from_logits=True)`. Its reduction is kept.
        name: str. Defaults to "sparse_" and the loss's own.

    Raises:
        ValueError: if `loss` is no Keras loss.

    Example:

    >>> import keras, numpy as np
    >>> import keras_transfer as kx
    >>> smooth = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    >>> loss = kx.SparseLabels(smooth)
    >>> round(float(loss(np.array([0, 1]), np.zeros([2, 4]))), 4)
    1.3863
    """

    def __init__(self, loss: keras.losses.Loss, *, name: str | None = None):
        if not isinstance(loss, keras.losses.Loss):
            raise ValueError(
                "Expected `loss` to be a Keras loss such as "
                "keras.losses.CategoricalCrossentropy(from_logits=True). "
                f"Received: loss={loss!r}."
            )
        super().__init__(name or f"sparse_{loss.name}", loss.reduction)
        self.loss = loss

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each example.

        Args:
            y_true: labels `(batch,)` or `(batch, 1)`.
            y_pred: float `(batch, classes)`, as the given loss takes it.

        Raises:
            ValueError: if there is more than one label an example.
        """
        if len(y_true.shape) == len(y_pred.shape):
            if y_true.shape[-1] != 1:
                raise ValueError(
                    "Expected one int label an example; compile with the loss inside "
                    f"kx.SparseLabels for others. Received: labels of shape {y_true.shape}."
                )
            y_true = keras.ops.squeeze(y_true, axis=-1)
        classes = keras.ops.cast(y_true, "int32")  # `keras.losses.Loss` has made them floats
        one_hot = keras.ops.one_hot(classes, y_pred.shape[-1], dtype=y_pred.dtype)
        return self.loss.call(one_hot, y_pred)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"loss": keras.saving.serialize_keras_object(self.loss), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SparseLabels:
        """Makes the loss anew."""
        return cls(keras.saving.deserialize_keras_object(config["loss"]), name=config["name"])


@keras.saving.register_keras_serializable("keras_transfer")
class GeneralizedCrossEntropy(keras.losses.Loss):
    """Generalized cross-entropy of logits: `(1 - p ** q) / q` for the true class's probability p.

    For labels of which some are wrong: an example that the model finds impossible pulls less than
    it does with cross-entropy (`q` near 0), down to the mean absolute error (`q` of 1), which is
    robust but learns slowly. Keras's own takes probabilities, which lose the gradient of logits
    far apart, and no `q` of 1. For int labels: `kx.SparseLabels(kx.GeneralizedCrossEntropy())`.

    Reference: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks
    with Noisy Labels", NeurIPS 2018.

    Args:
        q: float above 0, at most 1. The paper's 0.7 by default.
        reduction: str or None, as for every Keras loss.
        name: str, as for every Keras loss.

    Raises:
        ValueError: if `q` is out of range.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> loss = kx.SparseLabels(kx.GeneralizedCrossEntropy(q=1.0))
    >>> float(loss(np.array([0, 1]), np.zeros([2, 4])))
    0.75
    """

    def __init__(
        self,
        q: float = 0.7,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "generalized_cross_entropy",
    ):
        if not 0 < q <= 1:
            raise ValueError(f"Expected `q` above 0 and at most 1. Received: q={q}.")
        super().__init__(name, reduction)
        self.q = q

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each example.

        Args:
            y_true: float `(batch, classes)`, one-hot or mixed labels.
            y_pred: float `(batch, classes)`, logits.
        """
        powers = keras.ops.expm1(self.q * keras.ops.log_softmax(y_pred, axis=-1))
        return -keras.ops.sum(y_true * powers, axis=-1) / self.q

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"q": self.q, "reduction": self.reduction, "name": self.name}
