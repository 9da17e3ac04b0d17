"""What tells one model from another: its graph, its weights, and the code of its layers."""

from __future__ import annotations

import hashlib
import inspect
import pathlib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_transfer.models.blocks import flatten
from keras_transfer.models.exactness import NotExactError

# Their code changes with their versions alone.
_VERSIONED = ("keras", "keras_hub", "keras_transfer")


def fingerprint(model: keras.Model) -> str:
    """A digest of what a model computes; names of layers do not matter.

    Layers of other packages than Keras's and this one count with the file that their class is
    defined in, or with its code where there is none; functions that they call from other files
    are not seen.

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
    for kind in sorted({type(layer) for layer in flatten(model)}, key=lambda k: k.__qualname__):
        if kind.__module__.split(".")[0] not in _VERSIONED:
            digest.update(_source(kind))
    return digest.hexdigest()


def config_digest(model: keras.Model) -> bytes:
    """Of a model's graph and settings.

    Raises:
        NotExactError: if a layer has no config.
    """
    try:
        config = model.get_config()
    except NotImplementedError as error:
        raise NotExactError(str(error)) from error
    return hashlib.blake2b(repr(unnamed(config)).encode(), digest_size=16).digest()


def unnamed(config: Any) -> Any:
    """With numbers for the names of layers, of which Keras gives others to a model made again."""
    numbers: dict[str, str] = {}

    def collect(value: Any) -> None:
        if isinstance(value, Mapping):
            if isinstance(value.get("name"), str):
                numbers.setdefault(value["name"], f"name {len(numbers)}")
            value = value.values()
        if not isinstance(value, str) and isinstance(value, Iterable):
            for item in value:
                collect(item)

    def replace(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: replace(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [replace(item) for item in value]
        return numbers.get(value, value) if isinstance(value, str) else value

    collect(config)
    return replace(config)


def _source(kind: type) -> bytes:
    try:
        return pathlib.Path(inspect.getfile(kind)).read_bytes()
    except (TypeError, OSError):  # of a notebook or an interactive session
        functions = [f for _, f in inspect.getmembers(kind, inspect.isfunction)]
        return repr([list(_instructions(f.__code__)) for f in functions]).encode()


def _instructions(code: types.CodeType) -> Iterator[Any]:
    yield code.co_code, code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):  # its own repr holds an address
            yield from _instructions(constant)
        else:
            yield repr(constant)
