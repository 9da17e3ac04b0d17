"""Requests to try a version on, the same every time: good ones, and such as nobody can read."""

from __future__ import annotations

import struct

import numpy as np
import tensorflow as tf


def pictures(size: tuple[int, int]) -> list[bytes]:
    """Encoded pictures of several formats, sizes and kinds."""
    height, width = size
    encoders = (
        ((height, width, 3), tf.io.encode_png),
        ((2 * height + 1, width + 7, 3), tf.io.encode_jpeg),
        ((7, 5, 1), tf.io.encode_png),
        ((height // 2 + 1, 2 * width, 4), tf.io.encode_png),
    )
    random = np.random.default_rng(0)
    found = []
    for shape, encode in encoders:
        coarse = random.uniform(0, 255, (6, 6, shape[2]))
        smooth = tf.image.resize(coarse, shape[:2], method="bicubic")
        found.append(encode(tf.cast(tf.clip_by_value(smooth, 0, 255), tf.uint8)).numpy())
    return found


def broken_pictures() -> list[bytes]:
    """Nothing, something else, a file cut short, and a header that claims 65,535 pixels a side."""
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    picture: bytes = tf.io.encode_png(noise).numpy()
    header = struct.pack(">II", 65_535, 65_535) + b"\x08\x02\0\0\0"
    huge = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + b"IHDR" + header + b"\0" * 16
    return [b"", b"This is no picture.", picture[: len(picture) // 2], huge]


def texts() -> list[bytes]:
    """Texts of several scripts and lengths, and such as people send by mistake."""
    found = (
        "A film that nobody should miss!",
        "not worth the money",
        "",
        "   ",
        "word " * 300,
        "Caf\u00e9 \u0448\u043e\u043a\u043e\u043b\u0430\u0434 \u4e2d\u6587",
        "\u05e9\u05dc\u05d5\u05dd \U0001f600",
    )
    return [*(text.encode() for text in found), b"not \xff UTF-8 \xc3"]
