"""One optimizer a stage, which takes over the state of the one before."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_transfer.strategies.layerwise_optimizer import LayerwiseOptimizer
from keras_transfer.strategies.learning_rates import rates_by_depth
from keras_transfer.strategies.proximal import Proximal
from keras_transfer.strategies.scalable import check_scalable
from keras_transfer.strategies.schedules import make_schedule
from keras_transfer.training.stages import Stage
from keras_transfer.training.trained_model import trained_model

# Shrinking these towards zero does not keep a model simple. Keras looks for the pattern in
# TensorFlow's names, "layer/kernel:0", and a layer's name may hold anything.
NOT_DECAYED = [r"(^|[/_])(bias|gamma|beta|log_variance)(:\d+)?$"]


def default_optimizer(
    learning_rate: Any, weight_decay: float, ema_momentum: float | None = None
) -> keras.optimizers.AdamW:
    """The optimizer where the user names none; with a momentum, of averaged weights."""
    averaged = {} if ema_momentum is None else {"use_ema": True, "ema_momentum": ema_momentum}
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay, **averaged)
    optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def like(optimizer: keras.optimizers.Optimizer, rate: Any) -> keras.optimizers.Optimizer:
    """A new optimizer of the same class and settings, with another learning rate or schedule."""
    made = type(optimizer).from_config({**optimizer.get_config(), "learning_rate": rate})
    # Private: configs leave out which weights do not decay.
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(optimizer, name):
            setattr(made, name, getattr(optimizer, name))
    return made


@dataclasses.dataclass(frozen=True)
class Updates:
    """How weights move: the settings of `fine_tune` that make its optimizers.

    Attributes:
        optimizer: a Keras optimizer whose class and settings are taken; None for AdamW.
        schedule: see `strategies.schedules.make_schedule`.
        layer_decay: see `kx.layerwise`.
        block_rates: see there.
        proximal: see there.

    Raises:
        ValueError: if the optimizer is not one whose learning rate can be replaced.
    """

    optimizer: keras.optimizers.Optimizer | None = None
    schedule: Any = "cosine"
    layer_decay: float = 1.0
    block_rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    proximal: Proximal | None = None

    def __post_init__(self) -> None:
        """Checks the optimizer."""
        plain = isinstance(self.optimizer, keras.optimizers.Optimizer) and not isinstance(
            self.optimizer, (keras.optimizers.LossScaleOptimizer, LayerwiseOptimizer)
        )
        if self.optimizer is not None and not plain:
            raise ValueError(
                "Expected `optimizer` to be a Keras optimizer such as keras.optimizers.SGD(), "
                "without loss scaling and rates by depth: the dtype policy and `layer_decay` bring "
                f"them. Received: {self.optimizer!r}."
            )

    def learning_rate(self) -> float | None:
        """That of the optimizer that is given.

        Raises:
            ValueError: if it is a schedule.
        """
        if self.optimizer is None:
            return None
        rate = self.optimizer.get_config()["learning_rate"]
        if not isinstance(rate, numbers.Real):
            raise ValueError(
                "Expected an optimizer whose learning rate is a number, or `learning_rate` beside "
                "it; how it moves is `schedule`, as each stage has its own length. Received: "
                f"{rate!r}."
            )
        return float(rate)

    def differ_by_weight(self) -> bool:
        """Whether a plain Keras optimizer cannot do them."""
        return self.layer_decay != 1 or bool(self.block_rates) or self.proximal is not None

    def plain_optimizer(self, stage: Stage, rate: Any = None) -> keras.optimizers.Optimizer:
        """A Keras optimizer with that learning rate or schedule; else with the stage's rate."""
        rate = stage.learning_rate if rate is None else rate
        if self.optimizer is None:
            return default_optimizer(rate, stage.strategy.default_weight_decay)
        return like(self.optimizer, rate)


class OptimizerChain:
    """Makes the optimizer of each stage in turn.

    A weight that goes on being trained keeps its state (Adam's moments, momentum). Adam's
    correction for young moments goes by each weight's own age: by the count of all updates,
    weights unfrozen late would take steps up to six times too long at first.

    Args:
        updates: how weights move.
        stages: how many stages there are.
        start: the model's weights when training began, for `kx.Proximal`.

    Raises:
        ValueError: if the optimizer cannot do this.
    """

    def __init__(self, updates: Updates, stages: int, start: Sequence[np.ndarray] | None = None):
        self.updates = updates
        self.start_weights = start
        # One stage of equal rates needs nothing but Keras.
        self.plain = stages == 1 and not updates.differ_by_weight()
        if not self.plain and updates.optimizer is not None:
            # At once, not after the first stage: later ones take over weights that have an age.
            check_scalable(like(updates.optimizer, 1.0), ages=[stages - 1])
        self._slots: dict[tuple[int, str], keras.Variable] = {}
        self._ages: dict[int, int] = {}
        self._scale: float | None = None

    def start(self, model: keras.Model, stage: Stage, steps: int) -> keras.optimizers.Optimizer:
        """The optimizer for a stage of so many steps, for a model whose flags are set."""
        rate = make_schedule(self.updates.schedule, stage.learning_rate, steps)
        made = self.updates.plain_optimizer(stage, rate)
        if self.plain:
            return made
        weights = model.trainable_variables
        rates, in_head = rates_by_depth(
            trained_model(model), self.updates.layer_decay, self.updates.block_rates, weights
        )
        ages = [self._ages.get(id(weight), 0) for weight in weights]
        self._current = LayerwiseOptimizer(
            made, rates, ages=ages, proximal=self.updates.proximal, in_head=in_head
        )
        return self._current

    def carry_over(self, model: keras.Model) -> None:
        """Gives the built optimizer the state of the one before, where weights are the same."""
        if self.plain:
            return
        slots = self._current.slots
        for weight, name in slots.keys() & self._slots.keys():
            if name != "gradient_accumulator":  # what is left there is of no whole update
                slots[weight, name].assign(self._slots[weight, name])
        self._slots = slots
        if self.updates.proximal is not None and self.start_weights is not None:
            weights = trained_model(model).weights
            start = dict(zip(map(id, weights), self.start_weights, strict=True))
            self._current.pull_towards([start.get(id(w)) for w in model.trainable_variables])
        if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) and self._scale:
            model.optimizer.dynamic_scale.assign(self._scale)

    def finish(self, model: keras.Model, updates: int) -> None:
        """Notes how many updates each weight has had; a weight frozen meanwhile starts anew."""
        self._ages = {
            id(weight): self._ages.get(id(weight), 0) + updates
            for weight in model.trainable_variables
        }
        optimizer = getattr(model, "optimizer", None)  # none yet after a resume
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            self._scale = float(keras.ops.convert_to_numpy(optimizer.dynamic_scale))
