"""TF Serving's REST API: `/v1/models/NAME[/versions/N|/labels/L][:predict|/metadata]`.

Reference: `http_rest_api_handler.cc` and `http_rest_api_util.cc`, TF Serving.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import error_codes_pb2

from keras_transfer.serving.c_api.session import ModelError
from keras_transfer.serving.signatures.names import DEFAULT
from keras_transfer.serving.stand_in.json_tensors import read_request, write_answer
from keras_transfer.serving.stand_in.metadata import signature_defs
from keras_transfer.serving.stand_in.predicting import predict
from keras_transfer.serving.stand_in.served_models import ServedModels
from keras_transfer.serving.stand_in.served_versions import ServedVersion

_MODEL = r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<number>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE)
# By the code of an error, see `http_server.cc`; 500 for all others.
_STATUS = {3: 400, 4: 504, 5: 404, 8: 429, 9: 400, 11: 400, 12: 501, 14: 503}
_LARGEST_VERSION = 2**63


def answer(models: ServedModels, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Answers a request.

    Args:
        models: those that are served.
        method: "GET" or "POST".
        path: of the URL, still quoted.
        body: of the request.

    Returns:
        The HTTP status, and the JSON.
    """
    try:
        return 200, _answer(models, method, path, body)
    except ModelError as error:
        return _STATUS.get(error.code, 500), json.dumps({"error": str(error)}).encode()
    except Exception as error:  # a defect of the stand-in, which goes on
        told = f"{type(error).__name__}: {error}"
        return 500, json.dumps({"error": told}).encode()


def _answer(models: ServedModels, method: str, path: str, body: bytes) -> bytes:
    match = {"POST": _POST, "GET": _GET}.get(method, _GET).fullmatch(path)
    if match is None or method not in ("POST", "GET"):
        raise ModelError(f"Malformed request: {method} {path}", ModelError.INVALID_ARGUMENT)
    asked = _asked(match)
    if method == "POST":
        with models.version(**asked) as version:
            return _predicted(version, match["method"].lower(), body)
    if match["metadata"]:
        with models.version(**asked) as version:
            return _metadata(version)
    return _status(models.states(**asked))


def _asked(match: re.Match[str]) -> dict[str, Any]:
    number = None if match["number"] is None else int(match["number"])
    if number is not None and number >= _LARGEST_VERSION:
        raise ModelError(
            f"Failed to convert version: {number} to numeric.", ModelError.INVALID_ARGUMENT
        )
    label = urllib.parse.unquote(match["label"] or "")
    return {"name": urllib.parse.unquote(match["name"]), "number": number, "label": label}


def _predicted(version: ServedVersion, method: str, body: bytes) -> bytes:
    if method != "predict":
        raise ModelError(
            f"Expected {method} signature; versions of this package are asked by :predict",
            ModelError.FAILED_PRECONDITION,
        )

    def types_of(signature: str) -> dict[str, str]:
        if (signature or DEFAULT) not in version.signatures:
            raise ModelError(
                f'Serving signature name: "{signature}" not found in signature def',
                ModelError.INVALID_ARGUMENT,
            )
        inputs = version.signatures[signature or DEFAULT].inputs
        return {
            name: str(tf.as_dtype(info.dtype).as_numpy_dtype().dtype)
            if tf.as_dtype(info.dtype) != tf.string
            else "object"
            for name, info in inputs.items()
        }

    signature, inputs, rows = read_request(body, types_of)
    return write_answer(predict(version, signature, inputs), rows=rows)


def _metadata(version: ServedVersion) -> bytes:
    told = json_format.MessageToDict(
        signature_defs(version),
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    spec = {"name": version.name, "signature_name": "", "version": str(version.number)}
    return json.dumps({"model_spec": spec, "metadata": {"signature_def": told}}).encode()


def _status(found: list[ServedVersion]) -> bytes:
    told = [
        {
            "version": str(one.number),
            "state": one.state,
            "status": {
                "error_code": error_codes_pb2.Code.Name(one.error.code),
                "error_message": str(one.error),
            },
        }
        for one in found
    ]
    return json.dumps({"model_version_status": told}).encode()
