"""Requests with the answers that Keras gave, kept inside an exported version."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# TF Serving leaves `assets.extra` alone but for the files whose names it knows.
FILE = pathlib.Path("assets.extra", "keras_transfer_samples.npz")

Tensors = dict[str, np.ndarray]
Samples = dict[str, tuple[Tensors, Tensors]]


def save_samples(version: pathlib.Path, samples: Samples) -> None:
    """Writes the samples: signature name to (inputs, outputs), each from name to array.

    Strings are object arrays of bytes; they are written as one run of bytes and their lengths,
    so that reading needs no pickle.
    """
    arrays: dict[str, Any] = {}
    for signature, (inputs, outputs) in samples.items():
        for kind, tensors in (("input", inputs), ("output", outputs)):
            for name, value in tensors.items():
                key = f"{signature}|{kind}|{name}"
                if value.dtype == object:
                    arrays[f"{key}|lengths"] = np.array([len(text) for text in value])
                    value = np.frombuffer(b"".join(value), np.uint8)
                arrays[key] = value
    (version / FILE).parent.mkdir(exist_ok=True)
    np.savez_compressed(version / FILE, **arrays)


def load_samples(version: pathlib.Path) -> Samples:
    """Reads what `save_samples` wrote.

    Raises:
        FileNotFoundError: if the version holds no samples.
    """
    samples: Samples = {}
    with (version / FILE).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        for key in arrays.files:
            signature, kind, name, *lengths = key.split("|")
            if lengths:
                continue
            value = arrays[key]
            if f"{key}|lengths" in arrays.files:
                value = _cut(value.tobytes(), arrays[f"{key}|lengths"])
            inputs, outputs = samples.setdefault(signature, ({}, {}))
            (inputs if kind == "input" else outputs)[name] = value
    return samples


def made_up_pictures(size: tuple[int, int]) -> list[bytes]:
    """Encoded pictures of several formats, sizes and kinds, the same every time."""
    height, width = size
    encoders = (
        ((height, width, 3), tf.io.encode_png),
        ((2 * height + 1, width + 7, 3), tf.io.encode_jpeg),
        ((7, 5, 1), tf.io.encode_png),
        ((height // 2 + 1, 2 * width, 4), tf.io.encode_png),
    )
    random = np.random.default_rng(0)
    pictures = []
    for shape, encode in encoders:
        coarse = random.uniform(0, 255, (6, 6, shape[2]))
        smooth = tf.image.resize(coarse, shape[:2], method="bicubic")
        pictures.append(encode(tf.cast(tf.clip_by_value(smooth, 0, 255), tf.uint8)).numpy())
    return pictures


def made_up_texts() -> list[bytes]:
    """Texts of several scripts and lengths, and such as people send by mistake."""
    texts = (
        "A film that nobody should miss!",
        "not worth the money",
        "",
        "   ",
        "word " * 300,
        "Caf\u00e9 \u0448\u043e\u043a\u043e\u043b\u0430\u0434 \u4e2d\u6587",
        "\u05e9\u05dc\u05d5\u05dd \U0001f600",
    )
    return [*(text.encode() for text in texts), b"not \xff UTF-8 \xc3"]


def as_strings(texts: Sequence[bytes]) -> np.ndarray:
    """An object array, for numpy's own bytes type drops zeros at the end."""
    array = np.empty(len(texts), object)
    array[:] = list(texts)
    return array


def _cut(data: bytes, lengths: np.ndarray) -> np.ndarray:
    ends = np.cumsum(lengths)
    return as_strings([data[end - n : end] for end, n in zip(ends, lengths, strict=True)])
