"""Predictions from a server, in batches that it takes, again where it was busy."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from keras_transfer.serving.client.errors import ServingError
from keras_transfer.serving.client.input_names import InputNames
from keras_transfer.serving.client.patience import patiently
from keras_transfer.serving.client.question import (
    Arrays,
    Question,
    as_array,
    check_lengths,
    joined,
    rows,
)
from keras_transfer.serving.client.transports import transport_to
from keras_transfer.serving.client.waiting import wait_until_available
from keras_transfer.serving.signatures.names import DEFAULT, PIXELS

_Found = TypeVar("_Found")
# How servers refuse a request for inputs, or a signature, that a version does not have.
_OTHER_SIGNATURES = ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
# How TF Serving refuses a batch that is larger than its batching parameters allow.
_TOO_LARGE = re.compile(r"larger than maximum (?:input )?batch size (\d+)")


class ServingClient:
    """Asks TF Serving, or the stand-in, for predictions.

    Requests that failed because the server was away or busy are sent again, after pauses that
    double and differ by chance, as long as the time lasts: predictions change nothing, so asking
    twice is safe. Nothing else is sent again. What the inputs of a version are called is asked
    once, and again when a request for it fails. REST needs no TensorFlow. Use it with `with`, or
    call `close`.

    Args:
        url: str: "http://HOST:PORT" or "https://..." for REST, "grpc://HOST:PORT" for gRPC.
        timeout: float, seconds for a call with all its batches and repetitions. By REST what is
            left of them holds for connecting and for each part of an answer, not for their sum: a
            server that answers bit by bit may take longer.
        batch_size: int from 1, at most so many examples in a request. Where the server allows
            fewer, so many are sent.
        token: str, sent as `Authorization: Bearer` to a proxy in front of the server.
        retry: bool, whether requests are sent again at all; False where a failure is to be seen,
            as in a load test.

    Raises:
        ValueError: if the URL is of no such kind, or the token cannot stand in a header.

    Example:

    >>> import keras_transfer as kx
    >>> with kx.ServingClient("http://127.0.0.1:1", timeout=0.1) as client:
    ...     try:
    ...         client.predict("flowers", [b"the bytes of a picture"])
    ...     except kx.ServingError as error:
    ...         error.status
    'UNAVAILABLE'
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        batch_size: int = 64,
        token: str | None = None,
        retry: bool = True,
    ):
        if timeout <= 0 or batch_size < 1:
            raise ValueError(
                "Expected `timeout` above 0 and `batch_size` from 1. "
                f"Received: timeout={timeout}, batch_size={batch_size}."
            )
        self.timeout, self.batch_size, self.retry = timeout, batch_size, retry
        self._names = InputNames()
        self._transport = transport_to(url, token)

    def predict(
        self,
        name: str,
        inputs: Any,
        *,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
        on_batch: Callable[[int], None] = lambda count: None,
    ) -> Arrays:
        """Predictions for pictures, texts or arrays.

        Args:
            name: of the model.
            inputs: a list of the bytes of picture files, of paths to them, or of texts; an array
                `(n, height, width, 3)` of pixels from 0 to 255; or a dict of arrays by the names
                of the inputs of `signature`.
            signature: str. None takes "pixels" for an array and "serving_default" for the rest.
            version: int. None takes that of `label`, or the highest.
            label: str, such as "stable".
            on_batch: called with the number of examples of each batch that has been answered.

        Returns:
            dict from the name of an output, such as "label", "score", "probabilities" and
            "valid", to an array with one row for each example. Strings are bytes.

        Raises:
            ServingError: if the server refuses the request, or does not answer in time.
            ValueError: if there are no inputs, or the signature takes several.
        """
        deadline = time.monotonic() + self.timeout
        pixels = isinstance(inputs, np.ndarray) and inputs.dtype.kind in "iuf"
        question = Question(name, version, label, signature or (PIXELS if pixels else DEFAULT))
        if isinstance(inputs, dict):
            return self._in_batches(question, inputs, deadline, on_batch)
        array, known = as_array(inputs), self._names.knows(question)
        key = self._only_input(question, deadline)
        try:
            return self._in_batches(question, {key: array}, deadline, on_batch)
        except ServingError as error:
            self._names.forget(question)
            # The version behind a label, or the highest, may be another one by now.
            if not known or error.status not in _OTHER_SIGNATURES:
                raise
            key, before = self._only_input(question, deadline), key
            if key == before:
                raise
        return self._in_batches(question, {key: array}, deadline, on_batch)

    def _in_batches(
        self, question: Question, tensors: Arrays, deadline: float, on_batch: Callable[[int], None]
    ) -> Arrays:
        check_lengths(tensors)
        count = len(next(iter(tensors.values())))
        found, start = [], 0
        while start < count:
            batch = rows(tensors, start, start + self.batch_size)
            try:
                found.append(self._ask(deadline, self._transport.predict, question, batch))
            except ServingError as error:
                if self._take_limit(error):
                    continue
                raise
            start += len(next(iter(batch.values())))
            on_batch(len(next(iter(batch.values()))))
        return joined(found)

    def signatures(self, name: str, version: int | None = None) -> dict[str, list[str]]:
        """The names of the inputs of each signature.

        Raises:
            ServingError: if there is no such model.
        """
        deadline = time.monotonic() + self.timeout
        return self._ask(deadline, self._transport.signatures, Question(name, version))

    def versions(self, name: str) -> dict[int, str]:
        """The versions of a model that the server knows, with their states.

        Raises:
            ServingError: if it knows none.
        """
        deadline = time.monotonic() + self.timeout
        states = self._ask(deadline, self._transport.states, Question(name))
        return {number: state.name for number, state in states.items()}

    def wait_until_available(self, name: str, version: int | None = None) -> None:
        """Returns when a version, or any, can be asked.

        A server that is away is waited for, whatever `retry` is.

        Raises:
            ServingError: if that is not so when `timeout` is over, or the version failed to load.
        """
        wait_until_available(self._transport.states, name, version, self.timeout)

    def close(self) -> None:
        """Ends its connections."""
        self._transport.close()

    def __enter__(self) -> ServingClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _ask(self, deadline: float, call: Callable[..., _Found], *asked: Any) -> _Found:
        return patiently(deadline, call, *asked, retry=self.retry)

    def _only_input(self, question: Question, deadline: float) -> str:
        return self._names.only_input(
            question, lambda: self._ask(deadline, self._transport.signatures, question)
        )

    def _take_limit(self, error: ServingError) -> bool:
        """Whether the server said how many examples it takes, and these were too many."""
        match = _TOO_LARGE.search(str(error))
        limit = int(match[1]) if match else math.inf
        if limit >= self.batch_size or limit < 1:
            return False
        self.batch_size = int(limit)
        return True
