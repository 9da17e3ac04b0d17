"""Distillation: a student that learns from labels and from a teacher's outputs."""

from __future__ import annotations

from typing import Any

import keras

from keras_transfer.models.tasks import ONE_CLASS, Task, task_of


class Distillation(keras.Model):
    """Trains a student on a teacher's outputs beside the labels, by plain `compile` and `fit`.

    For a small model that is to come near a large one, and for a fine-tuned model that is to stay
    near another. Minimizes

        loss of the labels + weight * temperature^2 * KL(teacher || student),

    both distributions from logits divided by the temperature; for several labels a picture the
    mean over classes of their Bernoulli divergences; for regression the squared difference
    (without effect of the temperature). `compile` sets the loss of the labels: any loss, with
    `loss_weights` or sample weights (which count for both terms); None learns from the teacher
    alone, and needs no labels. Mean over the batch; exact over several replicas.

    The teacher only predicts: its weights, BatchNorm statistics and `trainable` flags stay, and it
    belongs to neither the weights nor the files of this model. What is trained of the student are
    its own `trainable` flags, so strategies and regularizers are applied to the student. What
    this model predicts is what the student predicts. Augmented pictures are seen by both.

    `keras.distillation.LogitsDistillation` of Keras 3.12 to 3.15 takes the divergence of raw
    logits instead of probabilities, and its `Distiller` ignores sample weights and regularizers.

    Reference: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.
    For long training and augmentation: Beyer et al., "Knowledge distillation: A good teacher is
    patient and consistent", CVPR 2022.

    Args:
        student: keras.Model made by `kx.Classifier` or `kx.Regressor`. Afterwards use, save and
            export it itself.
        teacher: keras.Model of the same task, inputs and outputs.
        temperature: float above 0. Higher ones show more of what the teacher thinks of the wrong
            classes. Defaults to 2.0.
        weight: float, at least 0, of the teacher's term. Defaults to 1.0.

    Raises:
        ValueError: if the two do not fit together or share trainable weights, or a number is out
            of range.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> import keras_transfer as kx
    >>> student, teacher = (
    ...     kx.Classifier(keras.Sequential([keras.Input([3]), keras.layers.Dense(4)]), 2)
    ...     for _ in range(2)
    ... )
    >>> model = kx.Distillation(student, teacher, temperature=4.0)
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> history = model.fit(np.ones([8, 3]), np.ones([8]), verbose=0)
    >>> sorted(history.history)
    ['distillation_loss', 'loss']
    """

    # The attribute that strategies are applied to.
    trains = "student"

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        *,
        temperature: float = 2.0,
        weight: float = 1.0,
    ):
        super().__init__(name=f"{student.name}_distillation")
        _check(student, teacher, temperature, weight)
        self.student = student
        # Not as an attribute of its own: Keras would train and save it as a part of this model.
        self._get_teacher = lambda: teacher
        self.temperature = temperature
        self.weight = weight
        self._divergence = _Divergence(task_of(student), temperature)
        self._divergence_metric = keras.metrics.MeanMetricWrapper(
            self._divergence.call, name="distillation_loss"
        )
        self.built = True

    @property
    def teacher(self) -> keras.Model:
        """The teacher."""
        return self._get_teacher()

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """What the student gives."""
        return self.student(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """The compiled loss with the model's penalties, and the teacher's term."""
        wanted = keras.ops.stop_gradient(self.teacher(x, training=False))
        self._divergence_metric.update_state(wanted, y_pred, sample_weight)
        distillation = self.weight * self._divergence(wanted, y_pred, sample_weight)
        if self.loss is None and not self.losses:
            return distillation
        loss = super().compute_loss(x, y, y_pred, sample_weight, training=training)
        return loss + distillation

    def get_config(self) -> dict[str, Any]:
        """Refuses, as a file of this model would lose the teacher."""
        raise NotImplementedError(
            "Expected the student to be saved: `model.student.save(...)`; callbacks such as "
            "ModelCheckpoint take `save_weights_only=True`, the student's weights. Received: a "
            "kx.Distillation to save."
        )


class _Divergence(keras.losses.Loss):
    """temperature^2 * divergence of the outputs over the temperature; Keras's losses scale it."""

    def __init__(self, task: Task, temperature: float):
        super().__init__(name="distillation_loss")
        self.task = task
        self.temperature = temperature
        one_class = keras.losses.CategoricalCrossentropy(from_logits=True)
        self.loss = one_class if task is ONE_CLASS else task.loss()

    def call(self, teacher: keras.KerasTensor, student: keras.KerasTensor) -> keras.KerasTensor:
        """Cross-entropy less entropy: a divergence, without a logarithm of probabilities."""
        teacher, student = teacher / self.temperature, student / self.temperature
        wanted = self.task.activation(teacher)
        divergence = self.loss.call(wanted, student) - self.loss.call(wanted, teacher)
        return self.temperature**2 * divergence


def _check(student: keras.Model, teacher: keras.Model, temperature: float, weight: float) -> None:
    if not 0 < temperature < float("inf") or not 0 <= weight < float("inf"):
        raise ValueError(
            "Expected a finite `temperature` above 0 and `weight` of at least 0. Received: "
            f"temperature={temperature}, weight={weight}."
        )
    for what, one, other in (
        ("the task", task_of(student).output_name, task_of(teacher).output_name),
        ("the shape of the inputs", student.input_shape, teacher.input_shape),
        ("the shape of the outputs", student.output_shape, teacher.output_shape),
        ("the class names", _class_names(student, teacher), _class_names(teacher, student)),
    ):
        if one != other:
            raise ValueError(
                f"Expected student and teacher to agree in {what}. Received: {one} and {other}."
            )
    weights = {id(weight) for weight in teacher.weights}
    shared = [weight.path for weight in student.trainable_weights if id(weight) in weights]
    if shared:
        raise ValueError(
            "Expected a teacher that training the student leaves alone: load it anew, or freeze "
            f"what they share. Received: {len(shared)} shared weights, {shared[0]!r} first."
        )


def _class_names(model: keras.Model, other: keras.Model) -> list[str] | None:
    """None unless both have noted some, as a loaded model has not."""
    both = hasattr(model, "class_names") and hasattr(other, "class_names")
    return list(model.class_names) if both else None
