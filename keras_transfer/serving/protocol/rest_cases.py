"""Requests over REST, and what TF Serving answers to each.

Reference: "RESTful API", `json_tensor.cc` and `http_rest_api_util.cc`, TF Serving.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from keras_transfer.serving.protocol.target import Target, as_columns, as_rows
from keras_transfer.serving.signatures.names import DEFAULT, PIXELS, TOKENS


@dataclasses.dataclass(frozen=True)
class RestCase:
    """A request that has to fail, and how.

    Attributes:
        name: what is wrong with it.
        status: of the answer; its body holds `error`.
        body: bytes, or what JSON can hold.
        path: below `/v1/models/`; None for `NAME:predict`.
    """

    name: str
    status: int
    body: Any = b""
    path: str | None = None
    method: str = "POST"


_DEEP, _HUGE = 100_000, 50_000_000


def malformed(target: Target) -> Iterator[RestCase]:
    """What must be refused, and leave the server as it was."""
    yield from _paths(target)
    yield from _bodies()
    if target.is_stand_in:
        yield from _deep_bodies()
    yield from _strings(target)
    yield from _numbers(target)


def _paths(target: Target) -> Iterator[RestCase]:
    name, good = target.name, {"instances": as_rows(_one(target, DEFAULT))}
    yield RestCase("a model that is not there", 404, good, f"{name}_other:predict")
    yield RestCase("a version that is not there", 404, good, f"{name}/versions/999999999:predict")
    yield RestCase("a version beyond 64 bits", 400, good, f"{name}/versions/{2**70}:predict")
    yield RestCase("a version that is no number", 400, good, f"{name}/versions/one:predict")
    yield RestCase("a label that is not there", 400, good, f"{name}/labels/no_such:predict")
    yield RestCase("a method that is not there", 400, good, f"{name}:explain")
    yield RestCase("no method", 400, good, name)
    yield RestCase("predict by GET", 400, b"", f"{name}:predict", "GET")
    yield RestCase("predict by PUT", 400, good, f"{name}:predict", "PUT")
    yield RestCase("predict by DELETE", 400, b"", f"{name}:predict", "DELETE")
    yield RestCase("the status of no model", 404, b"", f"{name}_other", "GET")
    yield RestCase("the status of no version", 404, b"", f"{name}/versions/999999999", "GET")
    yield RestCase("the metadata of no model", 404, b"", f"{name}_other/metadata", "GET")
    yield RestCase("classify", 400, {"examples": [{"x": 1}]}, f"{name}:classify")
    yield RestCase("regress", 400, {"examples": [{"x": 1}]}, f"{name}:regress")


def _bodies() -> Iterator[RestCase]:
    for name, body in (
        ("an empty body", b""),
        ("no JSON", b"instances: 3"),
        ("bytes that are no UTF-8", b'{"instances": ["\xff\xfe"]}'),
        ("JSON cut short", b'{"instances": ["a", '),
        ("a list", [1]),
        ("a number", b"3"),
        ("neither instances nor inputs", {}),
        ("both instances and inputs", {"instances": ["a"], "inputs": ["a"]}),
        ("instances that are no list", {"instances": "a"}),
        ("instances that are an object", {"instances": {"a": 1}}),
        ("no instances", {"instances": []}),
        ("a signature that is not there", {"signature_name": "no_such", "instances": ["a"]}),
        ("a signature that is a number", {"signature_name": 3, "instances": ["a"]}),
        ("half of a surrogate pair", b'{"instances": ["\\ud800"]}'),
        ("50 MB of nothing", b" " * _HUGE),
        ("50 MB of one text, not closed", b'{"instances": ["' + b"a" * _HUGE),
    ):
        yield RestCase(name, 400, body)


def _deep_bodies() -> Iterator[RestCase]:
    """TF Serving's own reader calls itself for each level, which may end the whole server."""
    deep = b'{"instances": ' + b"[" * _DEEP
    yield RestCase("lists within 100,000 lists, not closed", 400, deep)
    yield RestCase("lists within 100,000 lists", 400, deep + b"]" * _DEEP + b"}")


def _strings(target: Target) -> Iterator[RestCase]:
    """Of the default signature, which takes strings."""
    [key] = target.signatures[DEFAULT].inputs
    for name, instances in (
        ("a number for a string", [3]),
        ("true for a string", [True]),
        ("null for a string", [None]),
        ("bad base64", [{"b64": "***"}]),
        ("base64 of a number", [{"b64": 3}]),
        ("base64 with something else", [{"b64": "aGk=", "more": 1}]),
        ("an object and a value", [{key: "a"}, "a"]),
        ("a value and an object", ["a", {key: "a"}]),
        ("an input that is not there", [{"no_such": "a"}]),
        ("an input too many", [{key: "a", "no_such": "a"}]),
        ("an empty object", [{}]),
        ("a list and a string", [["a"], "a"]),
        ("lists of two lengths", [["a"], ["a", "b"]]),
        ("a string too deep", [["a"]]),
    ):
        yield RestCase(name, 400, {"instances": instances})
    yield RestCase("an input missing among inputs", 400, {"inputs": {"no_such": ["a"]}})
    yield RestCase("one string without its batch", 400, {"inputs": "a"})


def _numbers(target: Target) -> Iterator[RestCase]:
    """Of the signature that takes numbers."""
    signature = PIXELS if PIXELS in target.signatures else TOKENS
    columns = as_columns(_one(target, signature))
    [first, *_] = columns

    def case(name: str, value: Any) -> RestCase:
        body = {"signature_name": signature, "inputs": {**columns, first: value}}
        return RestCase(name, 400, body)

    good = columns[first]
    yield case("a string for a number", _with_leaf(good, "a"))
    yield case("true for a number", _with_leaf(good, True))
    yield case("null for a number", _with_leaf(good, None))
    yield case("an object for a number", _with_leaf(good, {"b64": "aGk="}))
    yield case("a number for a batch", 1)
    yield case("lists of unequal length", [*good, good[0][:-1]])
    yield case("lists of unequal depth", [*good, 1])
    yield case("a dimension too many", [good])
    yield case("a dimension too few", good[0])
    if signature == PIXELS:
        yield case("a picture too small", [good[0][:-1]])
    else:
        yield case("1.5 for a whole number", _with_leaf(good, 1.5))
        yield case("a number beyond 32 bits", _with_leaf(good, 2**40))


def _with_leaf(value: Any, leaf: Any) -> Any:
    """The lists, with another first leaf."""
    if not isinstance(value, list):
        return leaf
    return [_with_leaf(value[0], leaf), *value[1:]]


def _one(target: Target, signature: str) -> dict[str, Any]:
    inputs = target.samples[signature].inputs
    return {name: array[:1] for name, array in inputs.items()}
