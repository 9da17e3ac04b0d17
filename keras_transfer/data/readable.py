"""Which pictures can be decoded, found out before training and told in one table."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_transfer._progress import track
from keras_transfer.data.decoding import decode_picture

Examples = tuple[np.ndarray, np.ndarray]
_BATCH = 64


class UnreadablePicturesError(ValueError):
    """Some pictures cannot be decoded; `.reasons` maps each path to why.

    Args:
        reasons: dict from path to a sentence.
    """

    def __init__(self, reasons: dict[str, str]):
        self.reasons = reasons
        lines = "\n".join(f"  {path}: {reason}" for path, reason in reasons.items())
        super().__init__(
            "Expected every picture to be a readable JPEG, PNG, BMP or GIF file: mend or remove "
            'these files, or go on without them by on_error="skip" (--on-error skip). '
            f"Received {len(reasons)} unreadable:\n{lines}"
        )


def check_on_error(on_error: str) -> None:
    """Raises a `ValueError` unless it says what to do at unreadable pictures."""
    if on_error not in ("raise", "skip"):
        raise ValueError(f"Expected `on_error` to be 'raise' or 'skip'. Received: {on_error!r}.")


def readable_pictures(parts: dict[str, Examples], *, on_error: str) -> dict[str, Examples]:
    """Decodes every picture once and leaves out those that fail.

    Args:
        parts: dict of `(paths, labels)`, arrays of the same length.
        on_error: "raise" or "skip"; with "skip" a table of what was left out is printed.

    Raises:
        UnreadablePicturesError: if there are unreadable pictures and `on_error="raise"`.
    """
    paths = np.concatenate([paths for paths, _ in parts.values()])
    reasons = unreadable_reasons(paths)
    if reasons and on_error == "raise":
        raise UnreadablePicturesError(reasons)
    if reasons:
        _print_table(reasons)
    return {
        part: (paths[keep], labels[keep])
        for part, (paths, labels) in parts.items()
        for keep in [np.array([path not in reasons for path in paths], bool)]
    }


def unreadable_reasons(paths: Sequence[str] | np.ndarray) -> dict[str, str]:
    """Decodes every picture once; why each one that fails does, in words."""
    files = np.asarray(paths, dtype=object)
    return {file: _reason(file) for file in files[~_decodable(files)]}


def _decodable(paths: np.ndarray) -> np.ndarray:
    """Through the same ops as training, in parallel."""
    good = np.zeros(len(paths), bool)
    if not len(paths):
        return good

    def attempt(index: tf.Tensor, path: tf.Tensor) -> tf.Tensor:
        picture = decode_picture(tf.io.read_file(path))
        with tf.control_dependencies([picture]):
            return tf.identity(index)

    indices = tf.data.Dataset.from_tensor_slices((np.arange(len(paths)), paths.astype(str)))
    indices = indices.map(attempt, num_parallel_calls=tf.data.AUTOTUNE)
    indices = indices.ignore_errors().batch(_BATCH)
    steps = -(-len(paths) // _BATCH)
    for chunk in track(indices, "Checking pictures", total=steps):
        good[chunk.numpy()] = True
    return good


def _reason(path: str) -> str:
    if pathlib.Path(path).stat().st_size == 0:
        return "the file is empty"
    try:
        decode_picture(tf.io.read_file(path))
    except tf.errors.OpError as error:
        return _in_words(error.message)
    return "it could not be read the first time"


def _in_words(message: str) -> str:
    if "not a JPEG, PNG, BMP or GIF" in message:
        return "not a JPEG, PNG, BMP or GIF picture"
    broken = re.search(r"Invalid (JPEG|PNG|GIF|BMP) data", message)
    if broken or "Input size should match" in message:
        return f"cut short or damaged ({broken[1] if broken else 'BMP'})"
    claimed = re.search(r"The header claims more than [\d,]+ pixels", message)
    return claimed[0] if claimed else re.sub(r"\{\{.*?\}\} ?| \[Op:.*", "", message).split("\n")[0]


def _print_table(reasons: dict[str, str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("Left out", "Reason", title=f"{len(reasons)} unreadable pictures")
    for path, reason in reasons.items():
        table.add_row(escape(path), escape(reason))
    Console().print(table)
