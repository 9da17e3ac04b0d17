"""One optimizer whose update has another size for each weight."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_transfer.strategies.proximal import Proximal
from keras_transfer.strategies.scalable import check_rates, check_scalable


class _Slots(dict[tuple[int, str], keras.Variable]):
    """State by weight and name; as a plain dict TensorFlow would track it, keys and all."""


@keras.saving.register_keras_serializable("keras_transfer")
class LayerwiseOptimizer(keras.optimizers.Optimizer):
    """A Keras optimizer, its update scaled weight by weight.

    `kx.layerwise` makes it from a model and rates by depth. It scales the update itself, decoupled
    weight decay included, not the gradient: under Adam a scaled gradient gives the same update.
    Everything else (learning rate and schedule, clipping over all gradients, moving averages,
    gradient accumulation) is the inner optimizer's.

    Args:
        inner_optimizer: keras.optimizers.Optimizer, not yet built; not a `LossScaleOptimizer`,
            which belongs outside, and not `Ftrl` or `ScheduleFreeAdamW`, whose updates cannot be
            scaled. `Nadam` and `Adafactor` cannot take over weights in the middle (`ages`).
        rates: floats of at least 0, one for each trainable weight in the model's order.
        ages: ints, for each trainable weight how many updates it had had before this optimizer
            took over, so that Adam corrects each moment estimate by its own age; None for 0.
        proximal: `kx.Proximal`, a step towards the start after every update; None for none.
        in_head: bools, which weights belong to the head, or None for one that is not pulled;
            needed for `proximal`.
        weights: list of keras.Variable that the rates are for, to be compared with those that are
            trained; None to compare their number alone.
        name: str.

    Raises:
        TypeError: if `inner_optimizer` is not an optimizer that can be scaled.
        ValueError: if there are not as many rates as weights, or they are negative.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> weights = [keras.Variable([1.0]), keras.Variable([1.0])]
    >>> optimizer = kx.LayerwiseOptimizer(keras.optimizers.Adam(0.1), rates=[1.0, 0.5])
    >>> optimizer.apply([np.ones(1, "float32")] * 2, weights)
    >>> [round(float(weight.numpy()[0]), 3) for weight in weights]
    [0.9, 0.95]
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        rates: Sequence[float],
        *,
        ages: Sequence[int] | None = None,
        proximal: Proximal | None = None,
        in_head: Sequence[bool | None] = (),
        weights: Sequence[keras.Variable] | None = None,
        name: str | None = None,
    ):
        check_scalable(inner_optimizer, ages)
        check_rates(rates, proximal, in_head)
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.rates = rates
        self.ages = ages
        self.proximal = proximal
        self.in_head = in_head
        self.slots = _Slots()
        self._made_for = None if weights is None else [id(weight) for weight in weights]
        # Keras calls these for each weight and offers no public place in between: the inner
        # optimizer keeps doing all the rest, moving averages of the scaled weights included.
        self._inner_update = inner_optimizer.update_step
        self._inner_slot = inner_optimizer.add_variable_from_reference
        inner_optimizer.update_step = self._update
        inner_optimizer._apply_weight_decay = lambda variables: None  # see `_decay`
        inner_optimizer.add_variable_from_reference = self._slot

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the state of the inner optimizer, and notes where weights start."""
        others = self._made_for not in (None, [id(variable) for variable in variables])
        if others or len(variables) != len(self.rates):
            raise ValueError(
                "Expected the optimizer to be made for the weights that are trained: apply the "
                "strategy first, then make it, then compile. Received: rates for "
                f"{len(self.rates)} weights, not for these {len(variables)}."
            )
        self.inner_optimizer.build(variables)
        super().build(variables)
        if self.proximal is not None:
            self._starts = [self._start(*pair) for pair in enumerate(variables)]
        self.use_ema = self.inner_optimizer.use_ema
        if self.use_ema:  # where keras.callbacks.SwapEMAWeights looks for it
            averages = self.inner_optimizer._model_variables_moving_average
            self._model_variables_moving_average = averages

    def pull_towards(self, values: Sequence[np.ndarray | None]) -> None:
        """Sets where `proximal` pulls the backbone to.

        Args:
            values: an array for each weight; of those that are not pulled, and of the head, which
                is always pulled to zero, anything.
        """
        for slot, value, in_head in zip(self._starts, values, self.in_head, strict=True):
            if in_head is False:
                slot.assign(value)

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> None:
        """Updates the weights by their gradients."""
        if not self.built:
            with keras.name_scope(self.name):
                self.build(list(trainable_variables))
        self.inner_optimizer.apply(grads, trainable_variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """The state, the inner optimizer's included."""
        return self._variables + self.inner_optimizer.variables

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's, which `rates` multiply."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Updates so far."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """As the inner optimizer does."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """As the inner optimizer does."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "rates": list(self.rates),
            "ages": None if self.ages is None else list(self.ages),
            "proximal": keras.saving.serialize_keras_object(self.proximal),
            "in_head": list(self.in_head),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LayerwiseOptimizer:
        """Makes the optimizer from `get_config()`."""
        objects = ("inner_optimizer", "proximal")
        made = {key: keras.saving.deserialize_keras_object(config[key]) for key in objects}
        return cls(**{**config, **made})

    def _update(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        rate = self.rates[index]
        before = keras.ops.copy(variable)
        self._decay(variable, learning_rate)
        with self._aged(index):
            self._inner_update(gradient, variable, learning_rate)
        in_head = self.in_head[index] if self.proximal else None
        if rate == 1 and in_head is None:
            return
        after = before + rate * (variable - before)
        if self.proximal is not None and in_head is not None:
            start = keras.ops.convert_to_tensor(self._starts[index])
            step = keras.ops.cast(rate * learning_rate, variable.dtype)
            after = self.proximal(after, start, step, in_head)
        variable.assign(after)

    def _decay(self, variable: Any, learning_rate: Any) -> None:
        """Decoupled weight decay, here so that it is scaled as a part of the update."""
        inner = self.inner_optimizer
        if inner.weight_decay is not None and inner._use_weight_decay(variable):
            share = keras.ops.cast(inner.weight_decay * learning_rate, variable.dtype)
            variable.assign(variable - variable * share)

    def _slot(
        self, reference_variable: Any, name: str | None = None, initializer: Any = "zeros"
    ) -> keras.Variable:
        slot = self._inner_slot(reference_variable, name=name, initializer=initializer)
        self.slots[id(reference_variable), str(name)] = slot
        return slot

    def _start(self, index: int, variable: keras.Variable) -> keras.Variable:
        value = lambda *_, **__: keras.ops.convert_to_tensor(variable)  # noqa: E731
        initial = "zeros" if self.in_head[index] else value
        slot = self.add_variable_from_reference(variable, name="start", initializer=initial)
        self.slots[id(variable), "start"] = slot
        return slot

    @contextlib.contextmanager
    def _aged(self, index: int) -> Iterator[None]:
        """Lets the inner optimizer see how many updates this weight has had."""
        age = self.ages[index] if self.ages else 0
        if not age:
            yield
            return
        inner, count = self.inner_optimizer.__dict__, self.inner_optimizer._iterations
        steps = self.inner_optimizer.gradient_accumulation_steps or 1
        inner["_iterations"] = count + keras.ops.cast(age * steps, count.dtype)
        try:
            yield
        finally:
            inner["_iterations"] = count
