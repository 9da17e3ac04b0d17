"""To a server by REST."""

from __future__ import annotations

import base64
import urllib.parse
from typing import Any

import numpy as np
import requests

from keras_transfer.serving.client.errors import ServingError
from keras_transfer.serving.client.question import Arrays, Question

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


class RestTransport:
    """Keeps connections open between requests.

    Args:
        url: str, such as "http://localhost:8501".
        token: str for `Authorization: Bearer`, where a proxy asks for it.
    """

    def __init__(self, url: str, token: str | None):
        self._url = url.rstrip("/")
        self._session = requests.Session()
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def predict(self, question: Question, inputs: Arrays, seconds: float) -> Arrays:
        """Outputs by name; strings are object arrays of bytes."""
        body = {
            "signature_name": question.signature,
            "inputs": {name: _listed(array) for name, array in inputs.items()},
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

    def states(self, question: Question, seconds: float) -> dict[int, str]:
        """The state of each version."""
        told = self._ask("GET", _path(question), seconds)
        return {int(one["version"]): one["state"] for one in told["model_version_status"]}

    def close(self) -> None:
        """Ends its connections."""
        self._session.close()

    def _ask(self, method: str, path: str, seconds: float, body: Any = None) -> Any:
        try:
            answer = self._session.request(method, self._url + path, json=body, timeout=seconds)
        except requests.Timeout as error:
            raise ServingError(f"No answer within {seconds:.3g} s.", "DEADLINE_EXCEEDED") from error
        except requests.ConnectionError as error:
            raise ServingError(f"{self._url} cannot be reached: {error}", "UNAVAILABLE") from error
        try:
            told = answer.json()
        except ValueError:
            told = {"error": answer.text[:500]}
        if answer.status_code == 200 and "error" not in told:
            return told
        status = _NAMES.get(answer.status_code, "INTERNAL")
        raise ServingError(str(told.get("error") or answer.reason), status)


def _path(question: Question) -> str:
    path = f"/v1/models/{urllib.parse.quote(question.name, safe='')}"
    if question.version is not None:
        return f"{path}/versions/{question.version}"
    if question.label is not None:
        return f"{path}/labels/{urllib.parse.quote(question.label, safe='')}"
    return path


def _listed(array: np.ndarray) -> Any:
    if array.dtype != object:
        return array.tolist()
    return [{"b64": base64.b64encode(text).decode()} for text in array]


def _array(value: Any) -> np.ndarray:
    array = np.array(value)
    if array.dtype.kind == "U":
        texts = np.empty(array.size, object)
        texts[:] = [str(text).encode() for text in array.ravel()]
        return texts.reshape(array.shape)
    return array.astype(np.float32) if array.dtype == np.float64 else array
