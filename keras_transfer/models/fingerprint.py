"""What tells one model from another: its graph, its weights, and the code of its layers."""

from __future__ import annotations

import hashlib
import inspect
import pathlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_transfer.models.blocks import flatten
from keras_transfer.models.exactness import NotExactError, is_known

# Where names of layers stand in configs; elsewhere the same word may be a setting.
_NAMES = ("name", "keras_history", "input_layers", "output_layers")


def fingerprint(model: keras.Model) -> str:
    """A digest of what a model computes; names of layers do not matter.

    Layers of other packages than Keras's and this one count with their plain attributes and the
    file that their class is defined in, or its code where there is none; functions that layers
    hold, with their code. What is called from there, in other files, is not seen.

    Args:
        model: functional, its weights as they are now.

    Raises:
        NotExactError: if a layer has no config.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(config_digest(model))
    for weight in model.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{weight.dtype} {value.shape}".encode())
        digest.update(value.view(np.uint8).data)
    for layer in flatten(model):
        for told in _beside_config(layer):
            digest.update(told)
    for kind in sorted({type(layer) for layer in flatten(model)}, key=lambda k: k.__qualname__):
        if not is_known(kind):
            digest.update(_source(kind))
    return digest.hexdigest()


def config_digest(model: keras.Model) -> bytes:
    """Of a model's graph and settings.

    Raises:
        NotExactError: if a layer has no config.
    """
    try:
        config = model.get_config()
    except Exception as error:  # of a layer that somebody wrote
        raise NotExactError(f"A layer gives no config: {error}") from error
    return hashlib.blake2b(repr(unnamed(config)).encode(), digest_size=16).digest()


def unnamed(config: Any) -> Any:
    """With numbers for the names of layers, of which Keras gives others to a model made again."""
    numbers: dict[str, str] = {}

    def replace(value: Any, is_name: bool) -> Any:
        if isinstance(value, Mapping):
            return {key: replace(item, key in _NAMES) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [replace(item, is_name) for item in value]
        if is_name and isinstance(value, str):
            return numbers.setdefault(value, f"name {len(numbers)}")
        return value

    return replace(config, False)


def _beside_config(layer: keras.layers.Layer) -> Iterator[bytes]:
    """What a layer goes by and its config may not tell."""
    if hasattr(layer, "get_vocabulary"):
        yield repr(layer.get_vocabulary()).encode()
    for name, value in sorted(vars(layer).items()):
        if inspect.isfunction(value) and not is_known(value):
            yield repr([name, *_behavior(value)]).encode()
        plain = isinstance(value, (bool, int, float, str, bytes, np.ndarray, np.generic))
        if plain and not name.startswith("_") and name != "name" and not is_known(type(layer)):
            yield f"{name} {np.asarray(value).tolist()!r}".encode()


def _source(kind: type) -> bytes:
    try:
        return pathlib.Path(inspect.getfile(kind)).read_bytes()
    except (TypeError, OSError):  # of a notebook or an interactive session
        functions = [f for _, f in inspect.getmembers(kind, inspect.isfunction)]
        return repr([list(_behavior(f)) for f in functions if not is_known(f)]).encode()


def _behavior(function: types.FunctionType) -> Iterator[Any]:
    """Its code, and the plain values that it goes by."""
    yield from _instructions(function.__code__)
    yield function.__defaults__, function.__kwdefaults__
    for cell in function.__closure__ or ():
        yield _plain(cell.cell_contents)
    for name in function.__code__.co_names:
        yield name, _plain(function.__globals__.get(name))


def _plain(value: Any) -> Any:
    if inspect.isfunction(value):
        return list(_instructions(value.__code__))
    return value if isinstance(value, (bool, int, float, str, bytes, tuple)) else None


def _instructions(code: types.CodeType) -> Iterator[Any]:
    yield code.co_code, code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):  # its own repr holds an address
            yield from _instructions(constant)
        else:
            yield repr(constant)
