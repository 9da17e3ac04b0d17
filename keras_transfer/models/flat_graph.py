"""The calls that a model is made of, also those inside nested models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_transfer.models.graph import Call, tensors, trace


class FlatGraph:
    """The calls of layers in a model and in the nested models that are taken apart.

    Args:
        model: functional or sequential.
        divided: tells of a call whether it is of a nested model that is to be taken apart.

    Attributes:
        inputs: the model's, as its constructor took them.
        outputs: likewise.
        calls: in order.
    """

    def __init__(self, model: keras.Model, divided: Callable[[Call], bool]):
        self._divided = divided
        self._same: dict[int, keras.KerasTensor] = {}
        self._kept: list[Any] = []  # ids of tensors are told apart as long as these live
        self.calls: list[Call] = []
        traced = self._add(model)
        self.inputs, self.outputs = traced.input, traced.output

    def __getitem__(self, tensor: keras.KerasTensor) -> int:
        """The id of a tensor; the same for what goes into a nested model and its own input."""
        while id(tensor) in self._same:
            tensor = self._same[id(tensor)]
        return id(tensor)

    def _add(self, model: keras.Model) -> keras.Model:
        traced, calls = trace(model)
        self._kept.append((traced, calls))
        for call in calls:
            if self._divided(call):
                inner = self._add(call.layer)
                self._equate(inner.inputs, call.inputs)
                self._equate(tensors(call.outputs), inner.outputs)
            else:
                self.calls.append(call)
        return traced

    def _equate(self, ones: Iterable[Any], others: Iterable[Any]) -> None:
        self._same |= {id(one): other for one, other in zip(ones, others, strict=True)}

    def replay(self, calls: Iterable[Call], known: dict[int, Any]) -> None:
        """Makes calls once more on other tensors, and adds what they give to those known."""

        def other(item: Any) -> Any:
            return known[self[item]] if isinstance(item, keras.KerasTensor) else item

        for call in calls:
            args, kwargs = keras.tree.map_structure(other, (call.args, call.kwargs))
            made = tensors(call.layer(*args, **kwargs))
            known |= {self[t]: new for t, new in zip(tensors(call.outputs), made, strict=True)}
