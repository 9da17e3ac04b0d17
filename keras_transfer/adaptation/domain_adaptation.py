"""Training on a labeled source and an unlabeled target, by plain `compile` and `fit`."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.adaptation.batches import (
    DOMAINS,
    check_target_labels,
    domain_batch,
    is_pair,
    labeled,
    steps_of,
)
from keras_transfer.adaptation.methods.feature_alignment import Discrepancy, FeatureAlignment
from keras_transfer.adaptation.methods.method import Method
from keras_transfer.adaptation.passes import Normalization, Passes
from keras_transfer.adaptation.replicas import gathered, num_replicas
from keras_transfer.adaptation.weight_schedule import (
    ScheduledWeight,
    ScheduleName,
    WeightSchedule,
)
from keras_transfer.models.compared_features import compared_features


class DomainAdaptation(keras.Model):
    """Adapts a model to a target domain while it learns from the labels of a source.

    It shares the weights of the model it is given: `kx.fine_tune` this, or apply strategies to that
    one, `compile` and `fit` this, on `kx.pair_domains(source, target)`; then use, save and export
    that one. Called on inputs of one domain it is that model, so validation data, `evaluate` and
    `predict` are as ever. Minimizes

        loss of the labels + weight * schedule * the method's term,

    logged as `task_loss` (with the model's penalties), `adaptation_loss` (weighted) and their sum,
    `loss`. Under several replicas the term is that of one device on the batches of all.

    Args:
        model: keras.Model, functional, its last layer dense, such as `kx.Classifier` makes.
        method: a `kx` method such as `kx.MaximumMeanDiscrepancy()`, or any function of
            `(source, target, source_weights, target_weights)`, float32 `[n, d]`, `[m, d]`, `[n]`
            and `[m]`, that gives a scalar, which is summed over the layers compared.
        weight: float of at least 0, of the term. Defaults to the method's `default_weight`, or to
            1.0 for one that has none.
        schedule: "ramp" for a factor that grows from 0 to 1 over `fit`, or all stages of
            `kx.fine_tune`, as 2 / (1 + exp(-10 progress)) - 1; "constant"; or a function from
            progress, 0 to 1, to a factor. Without `fit` before, as in `evaluate`, progress is 1.
        layers: list of names of layers, or blocks of the backbone, whose outputs are compared,
            input to output. Defaults to the input of the last layer.
        normalization: what BatchNorm layers that are trained see. "joint": both domains in one
            pass, so that training has the statistics that inference has. "per_domain": each domain
            its own; the model then keeps those of the target, for which it is, and this object
            those of the source, which begin as those that the model has when training begins (Chang
            et al., "Domain-Specific Batch Normalization for Unsupervised Domain Adaptation", CVPR
            2019, with one scale and shift). "frozen": they are frozen, now and in each stage of
            `kx.fine_tune`. One pass a domain with the statistics of both
            mixed, as it happens by itself, is what none of these does: it can cost more than
            adaptation gains.

    Raises:
        ValueError: if the model has no graph, several outputs or no dense last layer, a layer is
            not there, or an argument is out of range.

    Example:

    >>> import keras, numpy as np, tensorflow as tf
    >>> import keras_transfer as kx
    >>> body = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="relu")])
    >>> model = kx.Classifier(body, 2)
    >>> source = tf.data.Dataset.from_tensors((np.eye(3), [0, 1, 1]))
    >>> target = tf.data.Dataset.from_tensors(1 - np.eye(3))
    >>> adapted = kx.DomainAdaptation(model, kx.MaximumMeanDiscrepancy(), weight=0.5)
    >>> adapted.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> history = adapted.fit(kx.pair_domains(source, target), shuffle=False, verbose=0)
    >>> sorted(history.history)
    ['adaptation_loss', 'loss', 'task_loss']

    With strategies and stages, and what is frozen run once:

    >>> pairs = kx.pair_domains(source, target)
    >>> [stage] = kx.fine_tune(adapted, pairs, strategy=kx.FineTuning(), epochs=2, verbose=0)
    >>> len(stage.history["adaptation_loss"])
    2
    """

    # The attribute that strategies are applied to.
    trains = "model"
    # Batches before a call of `fit`, and in all, where several calls are one training.
    part_of_training: tuple[int, int] | None = None

    def __init__(
        self,
        model: keras.Model,
        method: Method | Discrepancy,
        *,
        weight: float | None = None,
        schedule: ScheduleName | WeightSchedule = "ramp",
        layers: Sequence[str] | None = None,
        normalization: Normalization = "joint",
    ):
        weight = getattr(method, "default_weight", 1.0) if weight is None else weight
        features = compared_features(model, layers)
        with model.distribute_strategy.scope():
            super().__init__(name=f"{model.name}_adaptation")
            self.model = model
            self.method = method if isinstance(method, Method) else FeatureAlignment(method)
            self.weight = weight
            self.schedule = schedule
            self.layer_names = layers
            self.normalization = normalization
            # Not an attribute of its own: Keras would save the weights once more as its part.
            self._get_feature_model = lambda: features
            self._passes = Passes(features, normalization)
            self.source_statistics = self._passes.source_statistics
            self.source_has_trained = self._passes.has_trained
            *widths, classes = (x.shape[-1] for x in features.outputs)
            self.method.prepare(widths, classes, model.input)
            self._term_weight = ScheduledWeight(weight, schedule)
            self._task_metric = keras.metrics.Mean(name="task_loss")
            self._term_metric = keras.metrics.Mean(name="adaptation_loss")
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """What the model gives; of a pair of domains, features and outputs of both."""
        if not is_pair(inputs):
            return self.model(inputs, training=training)
        source, target = self._passes.run(inputs["source"], inputs["target"], training)
        return {"source": source, "target": target}

    @property
    def feature_model(self) -> keras.Model:
        """The model, with the features `(batch, width)` that are compared before its output."""
        return self._get_feature_model()

    def as_source(self) -> contextlib.AbstractContextManager[None]:
        """While it lasts, the model has the BatchNorm statistics of the source."""
        return self._passes.as_source()

    def freeze_normalization(self) -> None:
        """Freezes BatchNorm layers anew, if that is what `normalization` says."""
        self._passes.freeze()

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As in Keras; the weight's schedule goes over all of its epochs."""
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs)
        given.apply_defaults()
        if getattr(self, "optimizer", None) is not None:  # else Keras says that it is not compiled
            self._plan(given.arguments)
        if isinstance(given.arguments["x"], tf.data.Dataset):
            given.arguments["shuffle"] = False  # Keras warns that it does not shuffle a dataset
        return super().fit(*given.args[1:], **given.kwargs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The compiled loss with the model's penalties; of a pair, with the method's term."""
        if not is_pair(y_pred):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        check_target_labels(self.method, y)
        known = labeled(y, y_pred, sample_weight)
        task = super().compute_loss(x["source"], *known, training)
        given = {"classify": self._last_layer(), "training": training}
        inputs = x if self.method.needs_inputs else dict.fromkeys(DOMAINS)
        source, target = gathered(
            [domain_batch(name, inputs, y, y_pred, sample_weight, **given) for name in DOMAINS]
        )
        term = self._term_weight.now(self.optimizer) * self.method.term(source, target)
        replicas = num_replicas()
        rows = tf.shape(tf.nest.flatten(x["source"])[0])[0]
        # Keras divides its losses by the number of replicas, over which it sums.
        self._task_metric.update_state(task * replicas, sample_weight=rows)
        self._term_metric.update_state(term, sample_weight=rows)
        return task + term / replicas

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """The compiled metrics, on what has labels."""
        if is_pair(y_pred):
            known = labeled(y, y_pred, sample_weight)
            return super().compute_metrics(x["source"], *known)
        own = {self._task_metric.name, self._term_metric.name}
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        return {name: value for name, value in logs.items() if name not in own}

    def get_config(self) -> dict[str, Any]:
        """Refuses, as what is to be kept is the model."""
        raise NotImplementedError(
            "Expected the adapted model to be saved: `.model.save(...)`; callbacks such as "
            "ModelCheckpoint take `save_weights_only=True`. Received: a kx.DomainAdaptation."
        )

    def _plan(self, options: dict[str, Any]) -> None:
        steps = options["steps_per_epoch"] or steps_of(options["x"])
        before, in_all = self.part_of_training or (0, steps * options["epochs"])
        before += steps * options["initial_epoch"]
        self._term_weight.plan(self.optimizer, before, in_all)

    def _last_layer(self) -> keras.layers.Layer:
        return self.model.layers[-1]
