"""What a client asks, whichever way it goes."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from keras_transfer.serving.signatures.strings import as_strings

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Question:
    """Which version of which model, and which of its signatures.

    Attributes:
        name: of the model.
        version: int; None for that of the label, or the highest.
        label: str; None for none.
        signature: str.
    """

    name: str
    version: int | None = None
    label: str | None = None
    signature: str = "serving_default"


class State(NamedTuple):
    """What a server says of a version.

    Attributes:
        name: str, such as "AVAILABLE".
        error: str, why it failed to load; empty where it did not.
    """

    name: str
    error: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.error})" if self.error else self.name


class Transport(Protocol):
    """A way to a server. Errors are `ServingError`. Each call gets the seconds that it may take."""

    def predict(self, question: Question, inputs: Arrays, seconds: float) -> Arrays:
        """Outputs by name; strings are object arrays of bytes."""

    def signatures(self, question: Question, seconds: float) -> dict[str, list[str]]:
        """The names of the inputs of each signature."""

    def states(self, question: Question, seconds: float) -> dict[int, State]:
        """The state of each version."""

    def close(self) -> None:
        """Ends its connections."""


def rows(inputs: Arrays, start: int, end: int) -> Arrays:
    """Some examples."""
    return {name: array[start:end] for name, array in inputs.items()}


def joined(parts: list[Any]) -> Arrays:
    """Outputs of several batches as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def as_array(inputs: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Pixels as float32; bytes, texts and the content of files as an object array of bytes.

    Raises:
        ValueError: if it is no sequence of such.
    """
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind in "iuf":
        return inputs.astype(np.float32, copy=False)
    if isinstance(inputs, str | bytes | pathlib.PurePath):
        raise ValueError(f"Expected a list of inputs. Received: one {type(inputs).__name__}.")
    return as_strings([_bytes(one) for one in inputs])


def _bytes(one: Any) -> bytes:
    if isinstance(one, pathlib.Path):
        return one.read_bytes()
    if isinstance(one, str):
        return one.encode()
    if isinstance(one, bytes):
        return one
    raise ValueError(
        f"Expected bytes of pictures, paths, texts, or an array. Received: {type(one).__name__}."
    )


def check_lengths(inputs: Arrays) -> None:
    """Raises a ValueError unless all arrays have the same number of examples, at least one."""
    lengths = {name: len(array) for name, array in inputs.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        raise ValueError(f"Expected inputs of one length from 1. Received: {lengths}.")
