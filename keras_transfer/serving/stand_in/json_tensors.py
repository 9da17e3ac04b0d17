"""REST's JSON to arrays and back, with TF Serving's own rules and errors.

Reference: "RESTful API" and `json_tensor.cc`, TF Serving. Unlike Python's own reading of JSON it
tells numbers with and without a point apart, and takes no array of unequal lists.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_transfer.serving.c_api.frames import Arrays
from keras_transfer.serving.c_api.session import ModelError

_WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")
_LONGEST_SHOWN = 256
# A dtype by the name of each input.
Types = Mapping[str, str]


def read_request(body: bytes, types_of: Callable[[str], Types]) -> tuple[str, Arrays, bool]:
    """Reads the body of a predict request.

    Args:
        body: JSON; what stands behind the object is ignored.
        types_of: gives the types of the inputs of a signature; empty for the default one.

    Returns:
        The name of the signature, arrays by name, and whether it is in the row format.

    Raises:
        ModelError: if it is no such request.
    """
    document = _parsed(body)
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _wrong(document, "not formatted correctly. 'signature_name' key must be a string.")
    types = types_of(name)
    if {"instances", "inputs"} <= document.keys():
        raise _wrong(document, "Expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in document:
        return name, _rows(document, document["instances"], types), True
    if "inputs" in document:
        return name, _columns(document["inputs"], types), False
    raise ModelError("Missing 'inputs' or 'instances' key", ModelError.INVALID_ARGUMENT)


def write_answer(outputs: Arrays, *, rows: bool) -> bytes:
    """The body of the answer, in the format of the request.

    Raises:
        ModelError: if outputs do not have one row an example.
    """
    values = {name: _written(name, array) for name, array in sorted(outputs.items())}
    if not rows:
        [only, *more] = values.values()
        return json.dumps({"outputs": values if more else only}).encode()
    if len({len(array) for array in outputs.values()}) > 1:
        raise ModelError("Outputs have inconsistent batch sizes", ModelError.INVALID_ARGUMENT)
    if len(values) == 1:
        return json.dumps({"predictions": next(iter(values.values()))}).encode()
    found = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return json.dumps({"predictions": found}).encode()


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode("utf-8").lstrip()
        if not text:
            raise ValueError("The document is empty")
        document, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"JSON Parse error: {error}", ModelError.INVALID_ARGUMENT) from error
    if not isinstance(document, dict):
        raise _wrong(document, "Is not object")
    return document


def _rows(document: dict[str, Any], instances: Any, types: Types) -> Arrays:
    if not isinstance(instances, list):
        raise _wrong(document, "Expecting 'instances' to be an list/array")
    if not instances:
        raise _wrong(document, "No values in 'instances' array")
    are_objects = [_is_object(instance) for instance in instances]
    if len(types) > 1 and not all(are_objects):
        raise _wrong(instances, "expecting list of objects as multiple input tensors required")
    if not any(are_objects):
        return {name: _tensor(instances, dtype) for name, dtype in types.items()}
    if not all(are_objects):
        raise _wrong(instances, "Expecting values/lists or objects, not both, in 'instances'")
    for number, instance in enumerate(instances):
        if instance.keys() != types.keys():
            raise _wrong(
                instance,
                f"element {number} of 'instances': keys must be equal to: "
                f"{','.join(sorted(types))}",
            )
    return {
        name: _tensor([instance[name] for instance in instances], dtype)
        for name, dtype in types.items()
    }


def _columns(inputs: Any, types: Types) -> Arrays:
    if _is_object(inputs):
        missing = [name for name in types if name not in inputs]
        if missing:
            raise ModelError(
                f"Missing named input: {missing[0]} in 'inputs' object.",
                ModelError.INVALID_ARGUMENT,
            )
        return {name: _tensor(inputs[name], dtype) for name, dtype in types.items()}
    if len(types) > 1:
        raise _wrong(inputs, "expecting an object as multiple input tensors required")
    return {name: _tensor(inputs, dtype) for name, dtype in types.items()}


def _tensor(value: Any, dtype: str) -> np.ndarray:
    """An array of lists that are equally long at each level; nothing here calls itself."""
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    values = [value]
    for level, size in enumerate(shape):
        for one in values:
            if not isinstance(one, list):
                raise _wrong(one, f"found at incorrect level: {level} in the JSON DOM")
            if len(one) != size:
                raise ModelError(
                    f"Encountered list at unexpected size: {len(one)} at level: {level} "
                    f"expected size: {size}",
                    ModelError.INVALID_ARGUMENT,
                )
        values = list(itertools.chain.from_iterable(values))
    return _leaves(values, dtype).reshape(shape)


def _leaves(values: list[Any], dtype: str) -> np.ndarray:
    if dtype == "object":
        texts = np.empty(len(values), object)
        texts[:] = [_bytes(value) for value in values]
        return texts
    allowed: dict[str, set[type]] = {"bool": {bool}, **dict.fromkeys(_WHOLE, {int})}
    allowed |= dict.fromkeys(("float32", "float64"), {int, float})
    if dtype not in allowed:
        raise ModelError(f"Conversion of JSON Value to type: {dtype}", ModelError.UNIMPLEMENTED)
    if set(map(type, values)) - allowed[dtype]:
        wrong = next(value for value in values if type(value) not in allowed[dtype])
        raise _wrong(wrong, f"is not of expected type: {dtype}")
    try:
        return np.array(values, dtype)
    except OverflowError as error:
        raise _wrong(values, f"is not of expected type: {dtype}") from error


def _bytes(value: Any) -> bytes:
    try:
        if isinstance(value, str):
            return value.encode()
        if _is_base64(value):
            text = "".join(value["b64"].split()).rstrip("=")
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ModelError("Unable to base64 decode", ModelError.INVALID_ARGUMENT) from error
    raise _wrong(value, "is not of expected type: string")


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _written(name: str, array: np.ndarray) -> Any:
    """Strings are bytes only by a name that ends in "_bytes"."""
    if array.dtype == object:
        as_bytes = name.endswith("_bytes")
        texts = [
            {"b64": base64.b64encode(text).decode()} if as_bytes else text.decode(errors="replace")
            for text in array.ravel()
        ]
        holder = np.empty(len(texts), object)
        holder[:] = texts
        return holder.reshape(array.shape).tolist()
    if str(array.dtype) not in (*_WHOLE, "float32", "float64", "bool"):
        raise ModelError(f"Unsupported tensor type: {array.dtype}", ModelError.INVALID_ARGUMENT)
    return array.tolist()


def _wrong(value: Any, what: str) -> ModelError:
    shown = str(value)[:_LONGEST_SHOWN] if not isinstance(value, list) else f"list of {len(value)}"
    return ModelError(f"JSON Value: {shown} {what}", ModelError.INVALID_ARGUMENT)
