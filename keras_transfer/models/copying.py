"""Copies of a model, layer by layer, in which some layers may be others."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from keras_transfer.models.blocks import flatten


class Copying:
    """Copies layers or replaces them, each once however often it is called in the model.

    Args:
        replace: from a layer to the one whose copy takes its place, or to the layer itself.
        keep_weights: bool. Whether a copy that takes a layer's place takes its weights, too.
        config: from a layer's config to that of its copy.
    """

    def __init__(
        self,
        replace: Callable[[keras.layers.Layer], keras.layers.Layer],
        keep_weights: bool,
        config: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: config,
    ):
        self.replace = replace
        self.keep_weights = keep_weights
        self.config = config
        self.copies: dict[int, keras.Operation] = {}
        self.kept: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []
        # Old layer, the one it is replaced by, and the copy of that.
        self.replaced: list[tuple[keras.layers.Layer, ...]] = []

    def copied(self, model: keras.Model) -> keras.Model:
        """A copy of a model that shares nothing with it.

        Raises:
            ValueError: if layers do not fit one another after replacements, or weights do not.
        """
        new = self._model(model)
        new.trainable = model.trainable
        # Flags first from outer models to inner layers: that of a model sets all inside.
        for old, copy in reversed(self.kept):
            _copy_flags([(old, copy)] if has_graph(old) else _inside(old, copy))
        for old, copy in self.kept:
            if not has_graph(old):
                _copy_state(old, copy)
        for old, given, copy in self.replaced:
            _copy_flags(_inside(given, copy))
            if given.weights:
                _copy_state(given, copy)
            elif self.keep_weights:
                _assign(copy.name, copy.weights, old.weights)
        return new

    def _model(self, model: keras.Model) -> keras.Model:
        if isinstance(model, keras.Sequential):
            inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in _inputs(model)]
            layers = [self._layer(layer) for layer in model.layers]
            with _fitting(model):
                return keras.Sequential([*inputs, *layers], name=model.name)
        # Not the model itself: `clone_model` compiles the copy of a compiled one.
        graph = keras.Model(model.input, model.output, name=model.name)
        return keras.models.clone_model(graph, clone_function=self._layer, call_function=_call)

    def _layer(self, layer: keras.Operation) -> keras.Operation:
        if id(layer) not in self.copies:
            self.copies[id(layer)] = self._made(layer)
        return self.copies[id(layer)]

    def _made(self, layer: keras.Operation) -> keras.Operation:
        if not isinstance(layer, keras.layers.Layer):
            return self._copy(layer, layer.name)
        given = self.replace(layer)
        if given is not layer:
            new = self._copy(given, layer.name)
            self.replaced.append((layer, given, new))
        else:
            new = self._model(layer) if has_graph(layer) else self._copy(layer, layer.name)
            self.kept.append((layer, new))
        return new

    def _copy(self, operation: keras.Operation, name: str) -> keras.Operation:
        config = {**operation.get_config(), "name": name}
        return type(operation).from_config(self.config(config))


def has_graph(layer: keras.Operation) -> bool:
    """Whether it is a functional or sequential model."""
    return isinstance(layer, keras.Sequential) or hasattr(layer, "operations")


def _call(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
    # The graph holds `training` and `mask` where the old layer knew them; the new one may not.
    known = inspect.signature(layer.call).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        kwargs = {k: v for k, v in kwargs.items() if k in known or k not in ("training", "mask")}
    with _fitting(layer):
        return layer(*args, **kwargs)


@contextlib.contextmanager
def _fitting(layer: keras.Operation) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"Expected layers that fit one another, but layer {layer.name!r} does not take what "
            f"it is given now: replace it, too, or keep the shapes. Received: {error}"
        ) from error


def _copy_flags(pairs: Iterable[tuple[keras.layers.Layer, keras.layers.Layer]]) -> None:
    for source, copy in pairs:
        copy.trainable = source.trainable
        for weight, copied in zip(source.variables, copy.variables, strict=False):
            copied.trainable = weight.trainable


def _inside(
    source: keras.layers.Layer, copy: keras.layers.Layer
) -> Iterable[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """Both and the layers inside them; those inside a layer that was never called are not made."""
    return zip(flatten(source), flatten(copy), strict=False)


def _copy_state(source: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    _assign(copy.name, copy.variables, source.variables)
    for old, new in _inside(source, copy):
        # Some layers compute more from what is loaded, such as `Normalization`.
        store: dict[str, Any] = {}
        old.save_own_variables(store)
        new.load_own_variables(store)


def _assign(name: str, to: list[keras.Variable], values: list[keras.Variable]) -> None:
    shapes = [[tuple(variable.shape) for variable in variables] for variables in (to, values)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Expected the weights of layer {name!r} to fit, but after the replacements they "
            f"are of other shapes: {shapes[0]}. Received: weights {shapes[1]}."
        )
    for variable, value in zip(to, values, strict=True):
        variable.assign(value)


def _inputs(model: keras.Sequential) -> list[keras.KerasTensor]:
    return model.inputs if model.built else []
