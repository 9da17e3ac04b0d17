"""Adversarial examples as augmentation: the fast gradient sign method."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class AdversarialTraining(keras.Model):
    """Trains a model on every batch and on an adversarial copy of it.

    Each pixel of the copy is `epsilon` brighter or darker, in the direction in which the loss
    grows: `loss(x) * (1 - weight) + loss(x + epsilon * sign(gradient)) * weight`. It shares the
    weights of the given model: apply strategies to that one, then compile and fit this, and save,
    export and evaluate that one. `evaluate`, `predict` and metrics of this see the pictures as
    they are. A step costs about three times the time.

    The gradient is taken in inference mode, so that it uses neither dropout nor the batch's
    statistics. The copy is then trained on like the batch itself: BatchNorm layers that are not
    frozen move their statistics twice a step, towards the batch and towards its copy.

    Reference: Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples",
    ICLR 2015.

    Args:
        model: keras.Model with one input of pixels 0-255 and one output.
        epsilon: float above 0. How far each pixel moves, in units of 0-255; results are clipped
            to 0-255. 1 to 8 are usual.
        weight: float above 0, at most 1. The share of the adversarial copy in the loss.

    Raises:
        ValueError: if a setting is out of range, or the model has several inputs or outputs.

    Example:

    >>> import keras, numpy as np
    >>> import keras_transfer as kx
    >>> pixels = keras.Input([32, 32, 3])
    >>> model = kx.Classifier(keras.Model(pixels, keras.layers.Conv2D(8, 3)(pixels)), 2)
    >>> adversarial = kx.AdversarialTraining(model, epsilon=2.0)
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> adversarial.compile("adam", loss, metrics=["accuracy"])
    >>> history = adversarial.fit(np.zeros([4, 32, 32, 3]), np.array([0, 1, 0, 1]), verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'loss']
    """

    # The attribute that strategies are applied to.
    trains = "model"

    def __init__(self, model: keras.Model, epsilon: float, *, weight: float = 0.5):
        if not (epsilon > 0 and 0 < weight <= 1):
            raise ValueError(
                "Expected `epsilon` above 0, and `weight` above 0 and at most 1. "
                f"Received: epsilon={epsilon}, weight={weight}."
            )
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise ValueError(
                "Expected a model with one input and one output. "
                f"Received: {len(model.inputs)} inputs and {len(model.outputs)} outputs."
            )
        super().__init__(name=f"adversarial_{model.name}")
        self.model = model
        self.epsilon = epsilon
        self.weight = weight

    def call(self, pictures: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """What the given model gives."""
        return self.model(pictures, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The loss of the pictures; in training, weighed with that of their adversarial copies."""
        # Both terms come from Keras, which divides them by the number of replicas.
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        perturbed = self.perturb(x, y, sample_weight)
        y_pred = self.model(perturbed, training=True)
        adversarial = super().compute_loss(perturbed, y, y_pred, sample_weight, training)
        return (1 - self.weight) * loss + self.weight * adversarial

    def perturb(
        self, pictures: tf.Tensor, labels: tf.Tensor, sample_weight: Any = None
    ) -> tf.Tensor:
        """The adversarial copies of pictures; the model has to be compiled.

        Args:
            pictures: tensor `(batch, height, width, 3)` of pixels 0-255.
            labels: as the loss takes them.
            sample_weight: as the loss takes it, or None.

        Returns:
            float32 tensor of the same shape.
        """
        pictures = tf.cast(pictures, tf.float32)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pictures)
            y_pred = self.model(pictures, training=False)
            loss = super().compute_loss(pictures, labels, y_pred, sample_weight, False)
            # Half precision would round small gradients to 0; the sign does not mind a scale.
            loss = loss if self.optimizer is None else self.optimizer.scale_loss(loss)
        sign = tf.sign(keras.ops.nan_to_num(tape.gradient(loss, pictures)))
        moved = tf.clip_by_value(pictures + self.epsilon * sign, 0.0, 255.0)
        return tf.stop_gradient(moved)
