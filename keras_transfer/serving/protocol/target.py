"""The server that is asked, and the version that it is to serve."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import requests

from keras_transfer.serving.signatures.strings import as_json, as_strings
from keras_transfer.serving.verification.decided import wrong_strings
from keras_transfer.serving.verification.saved_graph import served_graph, signatures_of
from keras_transfer.serving.versions.warmup import Arrays, Sample, load_samples

_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Target:
    """A server, and what is known of the version.

    Attributes:
        rest_url: such as "http://127.0.0.1:8501".
        grpc_address: such as "127.0.0.1:8500".
        name: of the model.
        number: of the version.
        signatures: SignatureDefs by name.
        samples: requests with Keras's answers, one batch for each signature.
        is_stand_in: whether nobody else's requests can be harmed.
    """

    rest_url: str
    grpc_address: str
    name: str
    number: int
    signatures: dict[str, Any]
    samples: dict[str, Sample]
    is_stand_in: bool = False

    def ask(self, method: str, path: str, body: bytes | Any = b"") -> tuple[int, Any]:
        """Asks below `/v1/models/`; the status, and what the JSON holds.

        Raises:
            ValueError: if there is no JSON.
        """
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.rest_url}/v1/models/{path}"
        answer = requests.request(method, url, data=data, timeout=_SECONDS)
        return answer.status_code, answer.json()


def target_of(
    version: pathlib.Path,
    rest_url: str,
    grpc_address: str,
    name: str | None = None,
    *,
    is_stand_in: bool = False,
) -> Target:
    """The target for a version made by `kx.export`, `models/NAME/N`."""
    batches: dict[str, Sample] = {}
    for sample in load_samples(version):
        batches.setdefault(sample.signature, sample)
    return Target(
        rest_url.rstrip("/"),
        grpc_address,
        name or version.resolve().parent.name,
        int(version.name),
        signatures_of(served_graph(version)),
        batches,
        is_stand_in,
    )


def as_columns(inputs: Arrays) -> dict[str, Any]:
    """Inputs as REST takes them, one list a tensor."""
    return {name: as_json(array) for name, array in inputs.items()}


def as_rows(inputs: Arrays) -> list[dict[str, Any]]:
    """Inputs as REST takes them, one object an example."""
    columns = as_columns(inputs)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def differs(sample: Sample, outputs: dict[str, Any], tolerance: float = 2e-3) -> str:
    """A sentence where an answer is not Keras's."""
    for name, expected in sample.outputs.items():
        if name not in outputs:
            return f"{name} is missing"
        given = np.asarray(outputs[name])
        if given.shape != expected.shape:
            return f"{name} has shape {given.shape}, not {expected.shape}"
        if expected.dtype == bool and (given != expected).any():
            return f"{name} differs"
        if expected.dtype.kind == "f":
            most = tolerance * max(1.0, float(np.abs(expected).max(initial=0)))
            if not np.abs(given - expected).max(initial=0) <= most:
                return f"{name} differs by more than {most:g}"
    answers = {name: _bytes(outputs[name]) for name in sample.outputs}
    wrong = wrong_strings(sample.outputs, answers, tolerance)
    return " ".join(f"{count} strings of {name} differ" for name, count in wrong.items())


def _bytes(strings: Any) -> np.ndarray:
    """REST gives text, gRPC bytes."""
    array = np.asarray(strings, object)
    flat = [x.encode() if isinstance(x, str) else x for x in array.ravel()]
    return as_strings(flat).reshape(array.shape)
