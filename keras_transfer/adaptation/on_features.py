"""Domain adaptation of the end of a model, on what its frozen part gives."""

from __future__ import annotations

from typing import Any

import keras

from keras_transfer.adaptation.batches import is_pair
from keras_transfer.adaptation.domain_adaptation import DomainAdaptation
from keras_transfer.models.exactness import NotExactError


class AdaptationOnFeatures(DomainAdaptation):
    """A `kx.DomainAdaptation` that gets the features of both domains instead of their inputs.

    It shares everything with that of the whole model: the weights, the method with its own, the
    statistics of the source, and where the schedule is.

    Args:
        whole: kx.DomainAdaptation.
        tail: keras.Model, what is left of `whole.feature_model` behind the frozen part.

    Raises:
        NotExactError: if that would train otherwise.
    """

    def __init__(self, whole: DomainAdaptation, tail: keras.Model):
        if whole.method.needs_inputs:
            raise NotExactError(f"{type(whole.method).__name__} looks at the inputs.")
        keras.Model.__init__(self, name=whole.name)
        self.model = tail
        self.method = whole.method
        self.weight = whole.weight
        self.part_of_training = whole.part_of_training
        self._term_weight = whole._term_weight
        self._passes = whole._passes.on_tail(tail)
        # Not attributes of their own: Keras would take them for parts.
        self._get_feature_model = lambda: tail
        self._get_last_layer = whole._last_layer
        self._task_metric = keras.metrics.Mean(name="task_loss")
        self._term_metric = keras.metrics.Mean(name="adaptation_loss")
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """What the model gives for features; of a pair, features and outputs of both domains."""
        if is_pair(inputs):
            return super().call(inputs, training)
        *_, outputs = self.model(inputs, training=training)
        return outputs

    def _last_layer(self) -> keras.layers.Layer:
        return self._get_last_layer()
