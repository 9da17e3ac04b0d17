"""Runs a SavedModel the way TF Serving does: TensorFlow's C API, in a process without Python TF.

`python -m keras_transfer.serving.verification.c_api JOB.json` reads a job and writes its results
beside it; `clean_process` starts it. This module must import nothing that imports TensorFlow.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import pathlib
import sys
from typing import Any

import numpy as np

from keras_transfer.serving.verification.array_json import from_json, to_json

Arrays = dict[str, np.ndarray]
# TF_DataType of tensorflow/c/tf_datatype.h; strings are numpy object arrays of bytes.
_TYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 9: "int64", 10: "bool"}
_STRING, _STRING_SIZE = 7, 24
_POINTER = ctypes.c_void_p


class LoadError(RuntimeError):
    """The C API refused to load or to run the model; the message is TensorFlow's own."""


class _Output(ctypes.Structure):
    _fields_ = [("operation", _POINTER), ("index", ctypes.c_int)]


class _Session:
    """A loaded model; lives as long as its process."""

    def __init__(self, version: str, op_libraries: list[str]):
        self._framework, self._runtime = _libraries()
        self._status = self._call("TF_NewStatus", _POINTER)
        for library in op_libraries:
            path = ctypes.c_char_p(library.encode())
            self._call("TF_LoadLibrary", _POINTER, path, _POINTER(self._status))
            self._check()
        self._graph = self._call("TF_NewGraph", _POINTER)
        options = self._call("TF_NewSessionOptions", _POINTER)
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = self._call(
            "TF_LoadSessionFromSavedModel",
            _POINTER,
            _POINTER(options),
            None,
            ctypes.c_char_p(version.encode()),
            tags,
            ctypes.c_int(1),
            _POINTER(self._graph),
            None,
            _POINTER(self._status),
        )
        self._check()

    def run(self, inputs: Arrays, outputs: list[str]) -> Arrays:
        feeds = (_Output * len(inputs))(*map(self._output, inputs))
        values = (_POINTER * len(inputs))(*map(self._tensor, inputs.values()))
        fetches = (_Output * len(outputs))(*map(self._output, outputs))
        results = (_POINTER * len(outputs))()
        self._call(
            "TF_SessionRun",
            None,
            _POINTER(self._session),
            None,
            *(feeds, values, ctypes.c_int(len(inputs))),
            *(fetches, results, ctypes.c_int(len(outputs))),
            *(None, ctypes.c_int(0), None),
            _POINTER(self._status),
        )
        self._check()
        return {name: self._array(result) for name, result in zip(outputs, results, strict=True)}

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        function = getattr(self._runtime, name, None) or getattr(self._framework, name)
        function.restype = result
        return function(*arguments)

    def _check(self) -> None:
        if self._call("TF_GetCode", ctypes.c_int, _POINTER(self._status)):
            message = self._call("TF_Message", ctypes.c_char_p, _POINTER(self._status))
            raise LoadError(message.decode(errors="replace"))

    def _output(self, tensor: str) -> _Output:
        name, _, index = tensor.partition(":")
        operation = self._call(
            "TF_GraphOperationByName",
            _POINTER,
            _POINTER(self._graph),
            ctypes.c_char_p(name.encode()),
        )
        if not operation:
            raise LoadError(f"There is no operation {name!r} in the graph.")
        return _Output(operation, int(index or 0))

    def _tensor(self, array: np.ndarray) -> int:
        if array.dtype != object:
            code = next(code for code, name in _TYPES.items() if array.dtype == name)
            tensor, data = self._allocate(code, array.shape, array.nbytes)
            ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, array.nbytes)
            return tensor
        tensor, data = self._allocate(_STRING, array.shape, array.size * _STRING_SIZE)
        for index, text in enumerate(array.ravel()):
            place = _POINTER(data + index * _STRING_SIZE)
            self._call("TF_StringInit", None, place)
            self._call(
                "TF_StringCopy", None, place, ctypes.c_char_p(text), ctypes.c_size_t(len(text))
            )
        return tensor

    def _allocate(self, code: int, shape: tuple[int, ...], size: int) -> tuple[int, int]:
        dimensions = (ctypes.c_int64 * len(shape))(*shape)
        rank, length = ctypes.c_int(len(shape)), ctypes.c_size_t(size)
        tensor = self._call("TF_AllocateTensor", _POINTER, code, dimensions, rank, length)
        return tensor, self._call("TF_TensorData", _POINTER, _POINTER(tensor)) or 0

    def _array(self, tensor: int) -> np.ndarray:
        handle = _POINTER(tensor)
        rank = self._call("TF_NumDims", ctypes.c_int, handle)
        shape = [self._call("TF_Dim", ctypes.c_int64, handle, i) for i in range(rank)]
        code = self._call("TF_TensorType", ctypes.c_int, handle)
        data = self._call("TF_TensorData", _POINTER, handle) or 0
        if code != _STRING:
            size = self._call("TF_TensorByteSize", ctypes.c_size_t, handle)
            return np.frombuffer(ctypes.string_at(data, size), _TYPES[code]).reshape(shape)
        texts = np.empty(int(np.prod(shape)), object)
        for index in range(len(texts)):
            place = _POINTER(data + index * _STRING_SIZE)
            start = self._call("TF_StringGetDataPointer", _POINTER, place)
            texts[index] = ctypes.string_at(
                start, self._call("TF_StringGetSize", ctypes.c_size_t, place)
            )
        return texts.reshape(shape)


def _libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """Found without importing TensorFlow; the first has to be visible to the second."""
    found = importlib.util.find_spec("tensorflow")
    if found is None or not found.submodule_search_locations:
        raise LoadError("TensorFlow is not installed.")
    root = pathlib.Path(found.submodule_search_locations[0])
    framework = ctypes.CDLL(str(root / "libtensorflow_framework.so.2"), mode=ctypes.RTLD_GLOBAL)
    return framework, ctypes.CDLL(str(root / "libtensorflow_cc.so.2"), mode=ctypes.RTLD_GLOBAL)


def _main(path: str) -> None:
    job = json.loads(pathlib.Path(path).read_text())
    session = _Session(job["version"], job["op_libraries"])
    results = []
    for request in job["requests"]:
        inputs = {name: from_json(value) for name, value in request["inputs"].items()}
        outputs = session.run(inputs, request["outputs"])
        results.append({name: to_json(value) for name, value in outputs.items()})
    pathlib.Path(path).with_name("results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    try:
        _main(sys.argv[1])
    except LoadError as error:
        pathlib.Path(sys.argv[1]).with_name("error.txt").write_text(str(error))
        sys.exit(1)
