"""Asks a server everything, and tells what it answers otherwise than TF Serving."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import grpc
import requests
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from keras_transfer.serving.protocol import grpc_cases, rest_cases
from keras_transfer.serving.protocol.grpc_cases import GrpcCase, Stubs, predict_request
from keras_transfer.serving.protocol.rest_cases import RestCase
from keras_transfer.serving.protocol.target import Target, as_columns, as_rows, differs
from keras_transfer.serving.signatures.names import DEFAULT

# What goes wrong with JSON of another form than TF Serving's.
_OTHER_JSON = (ValueError, TypeError, AttributeError)


@dataclasses.dataclass(frozen=True)
class Case:
    """One question.

    Attributes:
        name: what is asked.
        problem: asks; an empty str where the answer is right, else what is wrong with it.
    """

    name: str
    problem: Callable[[], str]


def run_suite(target: Target, on_case: Callable[[str, str], None]) -> dict[str, str]:
    """Asks all cases of a server.

    After each malformed request a good one has to be answered as before.

    Args:
        target: the server and the version.
        on_case: called with the name of each case and its problem, empty where there is none.

    Returns:
        dict from the name of each case to its problem.
    """
    found = {}
    with Stubs(target.grpc_address) as stubs:
        for case in (*_good_rest(target), *_good_grpc(target, stubs), *_bad(target, stubs)):
            try:
                problem = case.problem()
            except (requests.RequestException, grpc.RpcError, LookupError, *_OTHER_JSON) as error:
                problem = f"{type(error).__name__}: {error}"
            found[case.name] = problem
            on_case(case.name, problem)
    return found


def _good_rest(target: Target) -> Iterator[Case]:
    name, of_version = target.name, f"{target.name}/versions/{target.number}"
    for path in (name, of_version):
        yield Case(f"REST: the status of {path}", partial(_is_available, target, path))
        metadata = f"{path}/metadata"
        yield Case(f"REST: the metadata of {path}", partial(_has_signatures, target, metadata))
    for signature, sample in target.samples.items():
        asked = {"signature_name": signature}
        columns = {**asked, "inputs": as_columns(sample.inputs)}
        rows = {**asked, "instances": as_rows(sample.inputs)}
        yield Case(f"REST: {signature} in columns", partial(_columns, target, signature, columns))
        yield Case(f"REST: {signature} in rows", partial(_rows, target, signature, rows))
    values = [next(iter(row.values())) for row in as_rows(target.samples[DEFAULT].inputs)]
    plain = {"instances": values}
    yield Case("REST: values in rows", partial(_rows, target, DEFAULT, plain))
    for what, path in (("a version", f"{of_version}:predict"), ("capitals", f"{name}:PREDICT")):
        yield Case(f"REST: {what}", partial(_rows, target, DEFAULT, plain, path))


def _good_grpc(target: Target, stubs: Stubs) -> Iterator[Case]:
    for signature in target.samples:
        yield Case(f"gRPC: {signature}", partial(_predict, target, stubs, signature))
    yield Case("gRPC: some outputs", partial(_some_outputs, target, stubs))
    yield Case("gRPC: the status", partial(_grpc_status, target, stubs))
    yield Case("gRPC: the metadata", partial(_grpc_metadata, target, stubs))


def _bad(target: Target, stubs: Stubs) -> Iterator[Case]:
    for rest in rest_cases.malformed(target):
        yield Case(f"REST: {rest.name}", partial(_refused, target, rest))
    for one in grpc_cases.malformed(target):
        yield Case(f"gRPC: {one.name}", partial(_refused_by_grpc, target, stubs, one))


def _is_available(target: Target, path: str) -> str:
    status, told = target.ask("GET", path)
    states = [one["state"] for one in told.get("model_version_status", [])]
    return "" if status == 200 and "AVAILABLE" in states else f"{status}: {told}"


def _has_signatures(target: Target, path: str) -> str:
    status, told = target.ask("GET", path)
    if status != 200:
        return f"{status}: {told}"
    there = told["metadata"]["signature_def"]["signature_def"]
    missing = target.signatures.keys() - there.keys()
    return f"no signatures {sorted(missing)}" if missing else ""


def _columns(target: Target, signature: str, body: object) -> str:
    status, told = target.ask("POST", f"{target.name}:predict", body)
    return differs(target.samples[signature], told["outputs"]) if status == 200 else str(told)


def _rows(target: Target, signature: str, body: object, path: str | None = None) -> str:
    status, told = target.ask("POST", path or f"{target.name}:predict", body)
    if status != 200:
        return f"{status}: {told}"
    rows = told["predictions"]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return differs(target.samples[signature], columns)


def _predict(target: Target, stubs: Stubs, signature: str) -> str:
    sample = target.samples[signature]
    answer = stubs.call("Predict", predict_request(target, signature, sample.inputs))
    outputs = {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
    return differs(sample, outputs)


def _some_outputs(target: Target, stubs: Stubs) -> str:
    request = predict_request(target, DEFAULT, target.samples[DEFAULT].inputs)
    request.output_filter.append("valid")
    names = list(stubs.call("Predict", request).outputs)
    return "" if names == ["valid"] else f"outputs {names}"


def _grpc_status(target: Target, stubs: Stubs) -> str:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = target.name
    answer = stubs.call("GetModelStatus", request)
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    states = [one.state for one in answer.model_version_status]
    return "" if available in states else f"states {states}"


def _grpc_metadata(target: Target, stubs: Stubs) -> str:
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = target.name
    request.metadata_field.append("signature_def")
    found = get_model_metadata_pb2.SignatureDefMap()
    stubs.call("GetModelMetadata", request).metadata["signature_def"].Unpack(found)
    missing = target.signatures.keys() - found.signature_def.keys()
    return f"no signatures {sorted(missing)}" if missing else ""


def _refused(target: Target, case: RestCase) -> str:
    path = f"{target.name}:predict" if case.path is None else case.path
    status, told = target.ask(case.method, path, case.body)
    if status != case.status:
        return f"status {status}, not {case.status}: {str(told)[:200]}"
    if not isinstance(told.get("error"), str) or not told["error"]:
        return f"no error: {told}"
    inputs = as_columns(target.samples[DEFAULT].inputs)
    problem = _columns(target, DEFAULT, {"inputs": inputs})
    return f"afterwards a good request: {problem}" if problem else ""


def _refused_by_grpc(target: Target, stubs: Stubs, case: GrpcCase) -> str:
    try:
        answer = stubs.call(case.call, case.request)
    except grpc.RpcError as error:
        if error.code() != case.code:
            return f"{error.code()}, not {case.code}: {error.details()}"
        return _predict(target, stubs, DEFAULT)
    return f"an answer, not {case.code}: {str(answer)[:200]}"
