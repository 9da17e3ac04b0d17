"""The learning rate range test: a trial run in which the rate grows from batch to batch."""

from __future__ import annotations

import math
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.data.dataset_copy import independent_copy
from keras_transfer.models.tasks import task_of
from keras_transfer.strategies.freezing import FineTuning
from keras_transfer.strategies.layerwise_optimizer import LayerwiseOptimizer
from keras_transfer.strategies.strategy import Strategy
from keras_transfer.training.learning_rate_curve import LearningRateCurve
from keras_transfer.training.optimizers import default_optimizer, like
from keras_transfer.training.untouched import untouched

_MEMORY = 0.9  # of the running average of the losses that ends a search


def find_learning_rate(
    model: keras.Model,
    train: tf.data.Dataset,
    *,
    strategy: Strategy | None = None,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.4,
    verbose: str | int = "auto",
) -> LearningRateCurve:
    """Suggests a learning rate, from a trial run in which it grows exponentially.

    The run ends where the loss has grown to four times its lowest and above where it began, or is
    no number; a running average is taken for that. Look at `.plot("rates.png")`, and take the
    suggestion as `learning_rate` of `kx.fine_tune` or of an optimizer.

    Afterwards the model is what it was, bit for bit, also after an error or Ctrl-C: its weights,
    optimizer, metrics, history and compiled functions, and the random states of dropout, Python,
    NumPy, TensorFlow and Keras. The run has an optimizer of its own, a new one with the settings
    of the model's. It reads a copy of the dataset, so that a shuffle or an augmentation inside
    goes on as if it had never been read, and no cache is filled. Out of its reach are Python
    objects that Python code inside the dataset changes, `tf.random.Generator` objects other than
    the global one, and variables that the model does not list as its own.

    Reference: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017. For the
    suggestion: Smith, "A disciplined approach to neural network hyper-parameters", 2018.

    Args:
        model: keras.Model, built. If it was compiled, its loss and, without `strategy`, its
            optimizer's settings are used; else the loss follows from its head.
        train: tf.data.Dataset of batches as `fit` takes them; repeated if it is short, and it may
            be infinite.
        strategy: a `kx.Strategy`, to look with the `trainable` flags and the optimizer that
            `kx.fine_tune` would train with; or None, to look with the model as it is (AdamW, if it
            was not compiled).
        low: float above 0. The first learning rate.
        high: float above `low`. The last learning rate.
        steps: int, at least 10. Batches from `low` to `high`; less than 30 say little.
        smoothing: float above 0, in powers of ten of the rate. The width of the window in which
            the losses of the curve are averaged; more for noisier ones.
        verbose: as in `keras.Model.fit`.

    Returns:
        A `kx.LearningRateCurve`: the rates, the losses, `.suggestion` and `.plot(path)`.

    Raises:
        ValueError: if a setting is out of range, the model is not built, the loss cannot be told
            from it, or the data is empty.

    Warns:
        UserWarning: if the curve gives no suggestion or one at the edge of the range; or if the
            dataset cannot be copied, so that the original is read.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> import keras_transfer as kx
    >>> x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(), "mse")
    >>> data = tf.data.Dataset.from_tensor_slices((x, x.sum(1))).batch(16)
    >>> curve = kx.find_learning_rate(model, data, verbose=0)
    >>> 0.001 < curve.suggestion < 1
    True
    """
    _check(model, train, low, high, steps, smoothing)
    search = _Search(np.geomspace(low, high, steps), smoothing)
    with untouched(model), model.distribute_strategy.scope():
        if strategy is not None:
            strategy.apply(model)
        _compile(model, _new_optimizer(model, strategy))
        model.fit(
            _copy(train).repeat(),
            steps_per_epoch=steps,
            callbacks=[search],
            shuffle=False,  # Keras warns that it does not shuffle a dataset
            verbose=verbose,
        )
    curve = search.curve()
    if curve.problem:
        warnings.warn(curve.problem, stacklevel=2)
    return curve


class _Search(keras.callbacks.Callback):
    """Sets the rate of each batch, notes its loss, and ends where that diverges."""

    def __init__(self, rates: np.ndarray, smoothing: float):
        super().__init__()
        self.rates = rates
        self.smoothing = smoothing
        self.losses: list[float] = []
        self.averages: list[float] = []
        self.diverged = False
        self._sum = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.optimizer.learning_rate = self.rates[batch]
        self.model.reset_metrics()  # or the loss would be the mean of all batches

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {})["loss"])
        if math.isfinite(loss):
            self._note(loss)
        self.diverged = not math.isfinite(loss) or self._too_high()
        self.model.stop_training = self.diverged

    def _note(self, loss: float) -> None:
        self.losses.append(loss)
        self._sum = _MEMORY * self._sum + (1 - _MEMORY) * loss
        # Divided by the sum of the weights: the average starts at the first loss, not near 0.
        self.averages.append(self._sum / (1 - _MEMORY ** len(self.losses)))

    def _too_high(self) -> bool:
        lowest = min(self.averages)
        return self.averages[-1] > max(lowest + 3 * abs(lowest), self.averages[0])

    def curve(self) -> LearningRateCurve:
        if len(self.losses) < 3:
            raise ValueError(
                "Expected a loss that is a number for at least 3 batches, of a dataset that is not "
                f"empty. Received: losses {self.losses}, diverged={self.diverged}."
            )
        rates = self.rates[: len(self.losses)]
        return LearningRateCurve(rates, np.array(self.losses), self.smoothing, self.diverged)


def _new_optimizer(model: keras.Model, strategy: Strategy | None) -> keras.optimizers.Optimizer:
    if model.compiled and strategy is None:
        return _like(model.optimizer)
    first = FineTuning() if strategy is None else strategy.parts()[0].strategy
    return default_optimizer(1.0, first.default_weight_decay)


def _like(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """A new optimizer of the same settings, with a learning rate that can be set."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        inner = _like(optimizer.inner_optimizer)
        return type(optimizer)(**{**optimizer.get_config(), "inner_optimizer": inner})
    if isinstance(optimizer, LayerwiseOptimizer):
        inner = _like(optimizer.inner_optimizer)
        return LayerwiseOptimizer(
            inner,
            optimizer.rates,
            ages=optimizer.ages,
            proximal=optimizer.proximal,
            in_head=optimizer.in_head,
        )
    return like(optimizer, 1.0)


def _compile(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """By Keras's own `compile`, as a model's own may want other arguments; without metrics."""
    if not model.compiled:
        keras.Model.compile(model, optimizer, task_of(model).loss())
        return
    # Private: Keras has no public name for what `compile` was given.
    given = {**model._compile_config.config, "metrics": None, "weighted_metrics": None}
    model._compile_metrics = None
    keras.Model.compile(model, **{**given, "optimizer": optimizer, "steps_per_execution": 1})


def _copy(train: tf.data.Dataset) -> tf.data.Dataset:
    try:
        return independent_copy(train)
    except ValueError as error:
        warnings.warn(
            f"The search reads the dataset itself, so later epochs of it may differ. {error}",
            stacklevel=3,
        )
        return train


def _check(
    model: keras.Model, train: Any, low: float, high: float, steps: int, smoothing: float
) -> None:
    if not isinstance(train, tf.data.Dataset):
        raise ValueError(f"Expected `train` to be a tf.data.Dataset. Received: {type(train)}.")
    if not model.built:
        raise ValueError(
            f"Expected a built model: call it on a batch first. Received: model {model.name!r}."
        )
    if not 0 < low < high < math.inf:
        raise ValueError(f"Expected 0 < `low` < `high`. Received: low={low}, high={high}.")
    if steps < 10:
        raise ValueError(f"Expected `steps` to be at least 10. Received: steps={steps}.")
    if not smoothing > 0:
        raise ValueError(f"Expected `smoothing` above 0. Received: smoothing={smoothing}.")
