"""To a server by REST."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

import numpy as np
import requests
import urllib3

from keras_transfer.serving.client.errors import ServingError
from keras_transfer.serving.client.question import Arrays, Question, State
from keras_transfer.serving.signatures.strings import as_json

# The names of gRPC's statuses by those of HTTP that TF Serving and proxies answer.
_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _Bearer(requests.auth.AuthBase):
    """A header alone would give way to what ~/.netrc has for the host."""

    def __init__(self, token: str):
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class RestTransport:
    """Keeps connections open between requests.

    The seconds of a call hold for connecting and for each part of an answer, not for their sum: a
    server that answers bit by bit may take longer.

    Args:
        url: str, such as "http://localhost:8501".
        token: str for `Authorization: Bearer`, where a proxy asks for it.
    """

    def __init__(self, url: str, token: str | None):
        self._url = url.rstrip("/")
        self._session = requests.Session()
        if token is not None:
            self._session.auth = _Bearer(token)

    def predict(self, question: Question, inputs: Arrays, seconds: float) -> Arrays:
        """Outputs by name; strings are object arrays of bytes."""
        body = {
            "signature_name": question.signature,
            "inputs": {name: as_json(array) for name, array in inputs.items()},
        }
        told = self._ask("POST", f"{_path(question)}:predict", seconds, body)
        outputs = told["outputs"]
        if not isinstance(outputs, dict):  # a signature with one output, whose name is not told
            outputs = {"output": outputs}
        return {name: _array(value) for name, value in outputs.items()}

    def signatures(self, question: Question, seconds: float) -> dict[str, list[str]]:
        """The names of the inputs of each signature."""
        told = self._ask("GET", f"{_path(question)}/metadata", seconds)
        found = told["metadata"]["signature_def"]["signature_def"]
        return {name: sorted(one["inputs"]) for name, one in found.items()}

    def states(self, question: Question, seconds: float) -> dict[int, State]:
        """The state of each version."""
        told = self._ask("GET", _path(question), seconds)
        return {
            int(one["version"]): State(one["state"], one.get("status", {}).get("error_message", ""))
            for one in told["model_version_status"]
        }

    def close(self) -> None:
        """Ends its connections."""
        self._session.close()

    def _ask(self, method: str, path: str, seconds: float, body: Any = None) -> Any:
        # By requests' own `json` arrays could hold no NaN, which TF Serving reads and writes.
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            answer = self._session.request(
                method, self._url + path, data=data, headers=headers, timeout=seconds
            )
        except requests.RequestException as error:
            raise self._told(error, seconds) from error
        try:
            # Strings of a graph may be any bytes.
            told = json.loads(answer.content.decode(errors="replace"))
        except ValueError:
            told = None
        if not isinstance(told, dict):  # a proxy's own page
            told = {"error": answer.text[:500]}
        if answer.status_code == 200 and "error" not in told:
            return told
        status = _NAMES.get(answer.status_code, "INTERNAL")
        raise ServingError(str(told.get("error") or answer.reason), status)

    def _told(self, error: requests.RequestException, seconds: float) -> ServingError:
        cause = error.args[0] if error.args else None
        # Silence in the middle of an answer comes as a ConnectionError.
        if isinstance(error, requests.Timeout) or isinstance(
            cause, urllib3.exceptions.ReadTimeoutError
        ):
            return ServingError(f"No answer within {seconds:.3g} s.", "DEADLINE_EXCEEDED")
        # A ConnectionError, too, but no patience mends it.
        if isinstance(error, requests.exceptions.SSLError):
            return ServingError(
                f"Expected TLS with a trusted certificate from {self._url}; for a self-signed one "
                "set the environment variable REQUESTS_CA_BUNDLE to its file. "
                f"Received: {error}",
                "FAILED_PRECONDITION",
            )
        if isinstance(error, requests.ConnectionError):
            return ServingError(f"{self._url} cannot be reached: {error}", "UNAVAILABLE")
        if isinstance(error, requests.exceptions.ChunkedEncodingError):
            return ServingError(f"{self._url} broke off its answer: {error}", "UNAVAILABLE")
        # Wrong URLs are ValueErrors; the rest is answers that are none, as circles of redirects.
        status = "INVALID_ARGUMENT" if isinstance(error, ValueError) else "INTERNAL"
        return ServingError(f"{self._url} cannot be asked: {error}", status)


def _path(question: Question) -> str:
    path = f"/v1/models/{urllib.parse.quote(question.name, safe='')}"
    if question.version is not None:
        return f"{path}/versions/{question.version}"
    if question.label is not None:
        return f"{path}/labels/{urllib.parse.quote(question.label, safe='')}"
    return path


def _array(value: Any) -> np.ndarray:
    array = np.array(value)
    if array.dtype.kind == "U":
        texts = np.empty(array.size, object)
        texts[:] = [str(text).encode() for text in array.ravel()]
        return texts.reshape(array.shape)
    return array.astype(np.float32) if array.dtype == np.float64 else array
