"""Predictions from a server, in batches that it takes, again where it was busy."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from keras_transfer.serving.client.errors import ServingError
from keras_transfer.serving.client.patience import FIRST_PAUSE, patiently
from keras_transfer.serving.client.question import (
    Arrays,
    Question,
    Transport,
    as_array,
    check_lengths,
    joined,
    rows,
)
from keras_transfer.serving.signatures.names import DEFAULT, PIXELS

_SECONDS_TO_BEGIN = 15
# How TF Serving refuses a batch that is larger than its batching parameters allow.
_TOO_LARGE = re.compile(r"larger than maximum (?:input )?batch size (\d+)")


class ServingClient:
    """Asks TF Serving, or the stand-in, for predictions.

    Requests that failed because the server was away or busy are sent again, after pauses that
    double and differ by chance, as long as the time lasts: predictions change nothing, so asking
    twice is safe. Nothing else is sent again. REST needs no TensorFlow. Use it with `with`, or
    call `close`.

    Args:
        url: str: "http://HOST:PORT" or "https://..." for REST, "grpc://HOST:PORT" for gRPC.
        timeout: float, seconds for a call with all its batches and repetitions.
        batch_size: int from 1, at most so many examples in a request. Where the server allows
            fewer, so many are sent.
        token: str, sent as `Authorization: Bearer` to a proxy in front of the server.

    Raises:
        ValueError: if the URL is of no such kind.

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
        self, url: str, *, timeout: float = 30.0, batch_size: int = 64, token: str | None = None
    ):
        if timeout <= 0 or batch_size < 1:
            raise ValueError(
                "Expected `timeout` above 0 and `batch_size` from 1. "
                f"Received: timeout={timeout}, batch_size={batch_size}."
            )
        self.timeout, self.batch_size = timeout, batch_size
        self._transport = _transport(url, token)

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
        tensors = self._tensors(question, inputs, deadline)
        count = len(next(iter(tensors.values())))
        found, start = [], 0
        while start < count:
            batch = rows(tensors, start, start + self.batch_size)
            try:
                found.append(patiently(deadline, self._transport.predict, question, batch))
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
        return patiently(deadline, self._transport.signatures, Question(name, version))

    def versions(self, name: str) -> dict[int, str]:
        """The versions of a model that the server knows, with their states.

        Raises:
            ServingError: if it knows none.
        """
        deadline = time.monotonic() + self.timeout
        return patiently(deadline, self._transport.states, Question(name))

    def wait_until_available(self, name: str, version: int | None = None) -> None:
        """Returns when a version, or any, can be asked.

        Raises:
            ServingError: if that is not so when `timeout` is over, or the version failed to load.
        """
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                states = patiently(deadline, self._transport.states, Question(name))
            except ServingError as error:
                if error.status != "NOT_FOUND":
                    raise
                states = {}
            state = states.get(version) if version is not None else None
            if "AVAILABLE" in ([state] if version is not None else states.values()):
                return
            # At first it may be the end of an earlier time that the version was loaded.
            if state == "END" and deadline - time.monotonic() < self.timeout - _SECONDS_TO_BEGIN:
                raise ServingError(f"{name}/{version} failed to load.", "FAILED_PRECONDITION")
            if time.monotonic() > deadline:
                raise ServingError(
                    f"Expected {name}/{version or 'any version'} to become available within "
                    f"{self.timeout:g} s. Received: {states}.",
                    "DEADLINE_EXCEEDED",
                )
            time.sleep(FIRST_PAUSE)

    def close(self) -> None:
        """Ends its connections."""
        self._transport.close()

    def __enter__(self) -> ServingClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _tensors(self, question: Question, inputs: Any, deadline: float) -> Arrays:
        if not isinstance(inputs, dict):
            array = as_array(inputs)
            asked = dataclasses.replace(question, signature=DEFAULT)
            known = patiently(deadline, self._transport.signatures, asked)
            names = known.get(question.signature)
            if names is None or len(names) != 1:
                raise ValueError(
                    f"Expected a signature with one input, or a dict of arrays for {names}. "
                    f"Received: signature={question.signature!r} of {sorted(known)}."
                )
            inputs = {names[0]: array}
        check_lengths(inputs)
        return inputs

    def _take_limit(self, error: ServingError) -> bool:
        """Whether the server said how many examples it takes, and these were too many."""
        match = _TOO_LARGE.search(str(error))
        limit = int(match[1]) if match else math.inf
        if limit >= self.batch_size or limit < 1:
            return False
        self.batch_size = int(limit)
        return True


def _transport(url: str, token: str | None) -> Transport:
    scheme, _, rest = url.partition("://")
    if rest and scheme in ("http", "https"):
        from keras_transfer.serving.client.rest_transport import RestTransport

        return RestTransport(url, token)
    if rest and scheme == "grpc":
        from keras_transfer.serving.client.grpc_transport import GrpcTransport

        return GrpcTransport(rest, token)
    raise ValueError(
        f"Expected a URL such as http://localhost:8501 or grpc://localhost:8500. Received: {url!r}."
    )
