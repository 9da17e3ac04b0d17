"""Which of its formats a file of word vectors has, told from its beginning."""

from __future__ import annotations

import dataclasses
import math
import re

# A row of more bytes is a sign that the file is something else.
LONGEST_ROW = 1 << 23
_HEADER = re.compile(rb"\s*(\d{1,18})[ \t]+(\d{1,18})\s*")


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a file is laid out.

    Attributes:
        path: str, for messages.
        binary: bool. Whether the values are float32 and not text.
        width: int. Values a row.
        count: int, the words that the header promises; None where there is no header.
        start: int. Bytes in front of the first row.
    """

    path: str
    binary: bool
    width: int
    count: int | None
    start: int

    def place(self, number: int) -> str:
        """What a message calls a row: the number of its line, or its own in a binary file."""
        return f"{'row' if self.binary else 'line'} {number} of {self.path}"


def detect(head: bytes, path: str) -> Layout:
    r"""Tells word2vec (text or binary, both with a header) and GloVe (without) apart.

    Reference: Mikolov et al., "Distributed Representations of Words and Phrases and their
    Compositionality", NIPS 2013, whose `word2vec.c` writes the first two; Pennington et al.,
    "GloVe: Global Vectors for Word Representation", EMNLP 2014.

    Args:
        head: bytes. At least the header and the first row, if there are any.
        path: str, for messages.

    Returns:
        The `Layout`.

    Raises:
        ValueError: if it is none of the three.

    Example:

    >>> detect(b"2 3\nthe 0.1 0.2 0.3\ncat 1 0 0", "vectors.txt")
    Layout(path='vectors.txt', binary=False, width=3, count=2, start=4)
    """
    first, _, rest = head.partition(b"\n")
    header = _HEADER.fullmatch(first)
    if header is None:
        return Layout(path, False, _trailing_numbers(first, path), None, 0)
    count, width = (int(number) for number in header.groups())
    if not count or not 0 < width <= LONGEST_ROW // 4:
        raise ValueError(
            "Expected a header with the number of words and of values a word, both positive. "
            f"Received: {first[:80]!r} in line 1 of {path}."
        )
    return Layout(path, _is_binary(rest, width), width, count, len(first) + 1)


def is_number(piece: bytes) -> bool:
    """Whether a piece of text is a finite number."""
    try:
        return math.isfinite(float(piece))
    except ValueError:
        return False


def _is_binary(rest: bytes, width: int) -> bool:
    """By the first values: text is printable, and takes two bytes a value or more."""
    data = rest.partition(b" ")[2][: 2 * width - 1]
    return not data.isascii() or not b" ".join(data.split()).decode().isprintable()


def _trailing_numbers(line: bytes, path: str) -> int:
    pieces = line.split()[1:]
    width = 0
    while width < len(pieces) and is_number(pieces[-1 - width]):
        width += 1
    if not width:
        raise ValueError(
            "Expected a file of word vectors: word2vec (text or binary) or GloVe, packed with "
            f"gzip or not at all. Received: {line[:80]!r} in line 1 of {path}."
        )
    return width
