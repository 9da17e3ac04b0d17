"""Requests over gRPC, and the code that TF Serving answers to each.

Reference: `predict_util.cc`, `get_model_metadata_impl.cc` and `get_model_status_impl.cc`, TF
Serving.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_transfer.serving.protocol.target import Arrays, Target
from keras_transfer.serving.signatures.names import DEFAULT

_SECONDS = 60
_BAD = grpc.StatusCode.INVALID_ARGUMENT
_NOT_FOUND = grpc.StatusCode.NOT_FOUND


@dataclasses.dataclass(frozen=True)
class GrpcCase:
    """A request that has to fail, and how.

    Attributes:
        name: what is wrong with it.
        code: grpc.StatusCode of the answer.
        request: the message.
        call: the name of the method.
    """

    name: str
    code: grpc.StatusCode
    request: Any
    call: str = "Predict"


class Stubs:
    """The calls of both services by their names. Use it with `with`."""

    def __init__(self, address: str):
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=options)
        self._services = (
            prediction_service_pb2_grpc.PredictionServiceStub(self._channel),
            model_service_pb2_grpc.ModelServiceStub(self._channel),
        )

    def call(self, name: str, request: Any) -> Any:
        """Calls a method; a grpc.RpcError says what went wrong."""
        service = next(one for one in self._services if hasattr(one, name))
        return getattr(service, name)(request, timeout=_SECONDS)

    def __enter__(self) -> Stubs:
        return self

    def __exit__(self, *error: object) -> None:
        self._channel.close()


def predict_request(target: Target, signature: str, inputs: Arrays) -> Any:
    """A PredictRequest."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = target.name
    request.model_spec.signature_name = signature
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return request


def malformed(target: Target) -> Iterator[GrpcCase]:
    """What must be refused, and leave the server as it was."""
    [key] = target.signatures[DEFAULT].inputs
    yield from _specs(target)
    yield GrpcCase("no input", _BAD, predict_request(target, DEFAULT, {}))
    text = np.array([b"a"], object)
    for name, inputs in (
        ("another input", {"no_such": text}),
        ("an input too many", {key: text, "no_such": text}),
        ("numbers for strings", {key: np.ones([1], np.float32)}),
        ("complex numbers for strings", {key: np.ones([1], np.complex64)}),
        ("bfloat16 for strings", {key: np.ones([1], tf.bfloat16.as_numpy_dtype)}),
        ("strings without a batch", {key: np.array(b"a", object)}),
        ("strings with a dimension too many", {key: text[None]}),
    ):
        yield GrpcCase(name, _BAD, predict_request(target, DEFAULT, inputs))
    torn = predict_request(target, DEFAULT, {key: text})
    torn.inputs[key].tensor_shape.dim[0].size = 2**40
    yield GrpcCase("a shape that the content does not fill", _BAD, torn)
    for name, wanted in (
        ("an output that is not there", ["no_such"]),
        ("an output twice", ["valid", "valid"]),
    ):
        request = predict_request(target, DEFAULT, {key: text})
        request.output_filter.extend(wanted)
        yield GrpcCase(name, _BAD, request)


def _specs(target: Target) -> Iterator[GrpcCase]:
    [key] = target.signatures[DEFAULT].inputs
    text = {key: np.array([b"a"], object)}
    other = predict_request(target, DEFAULT, text)
    other.model_spec.name = f"{target.name}_other"
    yield GrpcCase("a model that is not there", _NOT_FOUND, other)
    late = predict_request(target, DEFAULT, text)
    late.model_spec.version.value = 999_999_999
    yield GrpcCase("a version that is not there", _NOT_FOUND, late)
    unlabeled = predict_request(target, DEFAULT, text)
    unlabeled.model_spec.version_label = "no_such"
    yield GrpcCase("a label that is not there", _BAD, unlabeled)
    yield GrpcCase("no model", _BAD, predict_pb2.PredictRequest())
    unknown = predict_request(target, "no_such", text)
    failed = grpc.StatusCode.FAILED_PRECONDITION
    yield GrpcCase("a signature that is not there", failed, unknown)
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = f"{target.name}_other"
    yield GrpcCase("the status of no model", _NOT_FOUND, status, "GetModelStatus")
    metadata = get_model_metadata_pb2.GetModelMetadataRequest()
    metadata.model_spec.name = target.name
    metadata.metadata_field.append("no_such")
    yield GrpcCase("metadata of another kind", _BAD, metadata, "GetModelMetadata")
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name = f"{target.name}_other"
    yield GrpcCase("classify by no model", _NOT_FOUND, classify, "Classify")
