"""Messages with arrays between two processes, strings included, without pickle.

A frame is the length of its head and of all arrays, the head as JSON, and the arrays' bytes.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

import numpy as np

Arrays = dict[str, np.ndarray]
_LENGTHS = struct.Struct("<QQ")
_STRINGS = "strings"


def write_frame(stream: BinaryIO, told: dict[str, Any], arrays: Arrays) -> None:
    """Writes a message; strings are object arrays of bytes."""
    heads, parts = [], []
    for name, array in arrays.items():
        head: dict[str, Any] = {"name": name, "shape": array.shape, "type": str(array.dtype)}
        if array.dtype == object:
            texts = array.ravel()
            head |= {"type": _STRINGS, "lengths": [len(text) for text in texts]}
            data = b"".join(texts)
        else:
            data = np.ascontiguousarray(array).tobytes()
        heads.append({**head, "bytes": len(data)})
        parts.append(data)
    start = json.dumps({**told, "arrays": heads}).encode()
    stream.write(_LENGTHS.pack(len(start), sum(map(len, parts))) + start)
    for data in parts:
        stream.write(data)
    stream.flush()


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], Arrays] | None:
    """Reads a message; None at the end of the stream."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head, content = _LENGTHS.unpack(lengths)
    start, data = stream.read(head), stream.read(content)
    if len(start) < head or len(data) < content:
        return None
    told = json.loads(start)
    arrays, place = {}, 0
    for one in told.pop("arrays"):
        arrays[one["name"]] = _array(one, data[place : place + one["bytes"]])
        place += one["bytes"]
    return told, arrays


def _array(head: dict[str, Any], data: bytes) -> np.ndarray:
    if head["type"] != _STRINGS:
        return np.frombuffer(data, head["type"]).reshape(head["shape"])
    texts, place = np.empty(len(head["lengths"]), object), 0
    for number, length in enumerate(head["lengths"]):
        texts[number] = data[place : place + length]
        place += length
    return texts.reshape(head["shape"])
