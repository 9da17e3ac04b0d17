"""To a server by gRPC; takes TensorFlow for its messages."""

from __future__ import annotations

from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_transfer.serving.client.errors import ServingError
from keras_transfer.serving.client.question import Arrays, Question, State


class GrpcTransport:
    """A channel to one server.

    Args:
        address: str, such as "localhost:8500".
        token: str for the metadata `authorization`, where a proxy asks for it.
    """

    def __init__(self, address: str, token: str | None):
        # Clients would refuse answers of more than 4 MB.
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=options)
        self._metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, question: Question, inputs: Arrays, seconds: float) -> Arrays:
        """Outputs by name; strings are object arrays of bytes."""
        request = _asking(predict_pb2.PredictRequest(), question)
        request.model_spec.signature_name = question.signature
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._call(self._prediction.Predict, request, seconds)
        return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}

    def signatures(self, question: Question, seconds: float) -> dict[str, list[str]]:
        """The names of the inputs of each signature."""
        request = _asking(get_model_metadata_pb2.GetModelMetadataRequest(), question)
        request.metadata_field.append("signature_def")
        answer = self._call(self._prediction.GetModelMetadata, request, seconds)
        found = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(found)
        return {name: sorted(one.inputs) for name, one in found.signature_def.items()}

    def states(self, question: Question, seconds: float) -> dict[int, State]:
        """The state of each version."""
        request = _asking(get_model_status_pb2.GetModelStatusRequest(), question)
        answer = self._call(self._model.GetModelStatus, request, seconds)
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        return {
            one.version: State(name(one.state), one.status.error_message)
            for one in answer.model_version_status
        }

    def close(self) -> None:
        """Ends its connections."""
        self._channel.close()

    def _call(self, call: Any, request: Any, seconds: float) -> Any:
        try:
            return call(request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise ServingError(error.details() or "", error.code().name) from error


def _asking(request: Any, question: Question) -> Any:
    request.model_spec.name = question.name
    if question.version is not None:
        request.model_spec.version.value = question.version
    elif question.label is not None:
        request.model_spec.version_label = question.label
    return request
