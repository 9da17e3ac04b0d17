"""A SavedModel, loaded and run the way TF Serving does: by TensorFlow's C API.

Nothing here imports TensorFlow for Python; its two libraries are found beside it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import pathlib
from typing import Any

import numpy as np

from keras_transfer.serving.c_api.frames import Arrays

# TF_DataType of tensorflow/c/tf_datatype.h; strings are numpy object arrays of bytes.
_TYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    9: "int64",
    10: "bool",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
_CODES = {name: code for code, name in _TYPES.items()}
NUMBERS = frozenset(_CODES)
_STRING, _STRING_SIZE = 7, 24
_POINTER = ctypes.c_void_p


class ModelError(RuntimeError):
    """The C API refused to load or to run the model; the message is TensorFlow's own.

    Args:
        message: str.
        code: int, TF_Code, whose numbers are those of gRPC.
    """

    INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION = 3, 5, 9
    UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14

    def __init__(self, message: str, code: int = INTERNAL):
        super().__init__(message)
        self.code = code


class _Output(ctypes.Structure):
    _fields_ = [("operation", _POINTER), ("index", ctypes.c_int)]


class Session:
    """A loaded model. Several threads may run it at once.

    Args:
        version: the folder with `saved_model.pb`.
        op_libraries: files of operations besides TensorFlow's own.

    Raises:
        ModelError: if it does not load.
    """

    def __init__(self, version: str, op_libraries: list[str]):
        self._framework, self._runtime = _libraries()
        for library in op_libraries:
            path = ctypes.c_char_p(library.encode())
            self._checked("TF_LoadLibrary", _POINTER, path)
        self._graph = self._call("TF_NewGraph", _POINTER)
        options = self._call("TF_NewSessionOptions", _POINTER)
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = self._checked(
            "TF_LoadSessionFromSavedModel",
            _POINTER,
            _POINTER(options),
            None,
            ctypes.c_char_p(version.encode()),
            tags,
            ctypes.c_int(1),
            _POINTER(self._graph),
            None,
        )
        self._call("TF_DeleteSessionOptions", None, _POINTER(options))

    def run(self, inputs: Arrays, outputs: list[str]) -> Arrays:
        """Runs the graph.

        Args:
            inputs: from names of tensors, such as "x:0", to arrays.
            outputs: the names of the tensors that are wanted.

        Raises:
            ModelError: if the graph refuses the inputs, or has no such tensors.
        """
        feeds = (_Output * len(inputs))(*map(self._output, inputs))
        fetches = (_Output * len(outputs))(*map(self._output, outputs))
        results = (_POINTER * len(outputs))()
        values = (_POINTER * len(inputs))(*map(self._tensor, inputs.values()))
        try:
            self._checked(
                "TF_SessionRun",
                None,
                _POINTER(self._session),
                None,
                *(feeds, values, ctypes.c_int(len(inputs))),
                *(fetches, results, ctypes.c_int(len(outputs))),
                *(None, ctypes.c_int(0), None),
            )
            pairs = zip(outputs, results, strict=True)
            return {name: self._array(result) for name, result in pairs}
        finally:
            for result in filter(None, results):
                self._call("TF_DeleteTensor", None, _POINTER(result))
            for value in values:
                self._delete_input(_POINTER(value))

    def close(self) -> None:
        """Frees its memory."""
        for name in ("TF_CloseSession", "TF_DeleteSession"):
            self._checked(name, None, _POINTER(self._session))
        self._call("TF_DeleteGraph", None, _POINTER(self._graph))

    def _checked(self, name: str, result: Any, *arguments: Any) -> Any:
        """Calls a function whose last argument is a status."""
        status = _POINTER(self._call("TF_NewStatus", _POINTER))
        try:
            found = self._call(name, result, *arguments, status)
            if code := self._call("TF_GetCode", ctypes.c_int, status):
                message = self._call("TF_Message", ctypes.c_char_p, status)
                raise ModelError(message.decode(errors="replace"), code)
            return found
        finally:
            self._call("TF_DeleteStatus", None, status)

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        # Items, for attributes are shared by all threads, and so would the result's type be.
        try:
            function = self._runtime[name]
        except AttributeError:
            function = self._framework[name]
        function.restype = result
        return function(*arguments)

    def _output(self, tensor: str) -> _Output:
        name, _, index = tensor.partition(":")
        operation = self._call(
            "TF_GraphOperationByName",
            _POINTER,
            _POINTER(self._graph),
            ctypes.c_char_p(name.encode()),
        )
        if not operation:
            raise ModelError(f"There is no operation {name!r} in the graph.")
        return _Output(operation, int(index or 0))

    def _tensor(self, array: np.ndarray) -> int:
        if array.dtype != object:
            code = _CODES[array.dtype.name]
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

    def _delete_input(self, tensor: ctypes.c_void_p) -> None:
        """Nobody but whoever made them frees the strings in a tensor that was fed."""
        if self._call("TF_TensorType", ctypes.c_int, tensor) == _STRING:
            data = self._call("TF_TensorData", _POINTER, tensor) or 0
            count = self._call("TF_TensorByteSize", ctypes.c_size_t, tensor) // _STRING_SIZE
            for index in range(count):
                self._call("TF_StringDealloc", None, _POINTER(data + index * _STRING_SIZE))
        self._call("TF_DeleteTensor", None, tensor)

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
        raise ModelError("TensorFlow is not installed.")
    root = pathlib.Path(found.submodule_search_locations[0])
    framework = ctypes.CDLL(str(root / "libtensorflow_framework.so.2"), mode=ctypes.RTLD_GLOBAL)
    return framework, ctypes.CDLL(str(root / "libtensorflow_cc.so.2"), mode=ctypes.RTLD_GLOBAL)
