"""TF Serving's gRPC API: PredictionService and ModelService on one port.

Reference: `prediction_service_impl.cc` and `model_service_impl.cc`, TF Serving.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_transfer.serving.c_api.session import ModelError
from keras_transfer.serving.stand_in.metadata import signature_defs
from keras_transfer.serving.stand_in.predicting import predict
from keras_transfer.serving.stand_in.served_models import ServedModels

_SIGNATURES = "signature_def"
_MOST_VALUES = 2**28
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def add_services(server: grpc.Server, models: ServedModels) -> None:
    """Adds both services to a server."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(models), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(models), server)


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, models: ServedModels):
        self._models = models

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with _errors(context), self._models.version(**_asked(request)) as version:
            name = request.model_spec.signature_name
            inputs = {name: _array(tensor) for name, tensor in request.inputs.items()}
            outputs = predict(version, name, inputs, list(request.output_filter))
            answer = predict_pb2.PredictResponse()
            answer.model_spec.name = version.name
            answer.model_spec.version.value = version.number
            answer.model_spec.signature_name = name or "serving_default"
            for name, array in outputs.items():
                answer.outputs[name].CopyFrom(tf.make_tensor_proto(array))
            return answer

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with _errors(context):
            if list(request.metadata_field) != [_SIGNATURES]:
                raise ModelError(
                    f"Metadata field {list(request.metadata_field)} is not supported",
                    ModelError.INVALID_ARGUMENT,
                )
            with self._models.version(**_asked(request)) as version:
                answer = get_model_metadata_pb2.GetModelMetadataResponse()
                answer.model_spec.name = version.name
                answer.model_spec.version.value = version.number
                answer.metadata[_SIGNATURES].Pack(signature_defs(version))
                return answer

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self._refuse(request, context)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self._refuse(request, context)

    def _refuse(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors(context), self._models.version(**_asked(request)):
            raise ModelError(
                "Versions of this package are asked by Predict", ModelError.FAILED_PRECONDITION
            )


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, models: ServedModels):
        self._models = models

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with _errors(context):
            answer = get_model_status_pb2.GetModelStatusResponse()
            states = get_model_status_pb2.ModelVersionStatus.State
            for one in self._models.states(**_asked(request)):
                told = answer.model_version_status.add(
                    version=one.number, state=states.Value(one.state)
                )
                told.status.error_code = one.error.code
                told.status.error_message = str(one.error)
            return answer

    def HandleReloadConfigRequest(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        # In TF Serving whoever reaches the port can make it load any folder by this.
        del request, context
        answer = model_management_pb2.ReloadConfigResponse()
        answer.status.error_code = ModelError.UNIMPLEMENTED
        answer.status.error_message = "The stand-in reads models.config at every poll."
        return answer


@contextlib.contextmanager
def _errors(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        context.abort(_CODES[error.code], str(error))


def _asked(request: Any) -> dict[str, Any]:
    spec = request.model_spec
    if not spec.name:
        raise ModelError("Missing ModelSpec", ModelError.INVALID_ARGUMENT)
    number = spec.version.value if spec.HasField("version") else None
    return {"name": spec.name, "number": number, "label": spec.version_label}


def _array(tensor: Any) -> np.ndarray:
    # A few values may stand for many: the last one is repeated.
    sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
    if min(sizes, default=0) < 0 or math.prod(sizes) > _MOST_VALUES:
        raise ModelError(f"Tensor parsing error: shape {sizes}", ModelError.INVALID_ARGUMENT)
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise ModelError(f"Tensor parsing error: {error}", ModelError.INVALID_ARGUMENT) from error
