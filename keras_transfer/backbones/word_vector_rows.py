"""The rows of a file of word vectors, from its windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_transfer.backbones.file_windows import Window, Windows
from keras_transfer.backbones.word_vector_layout import LONGEST_ROW, Layout, is_number

_LONGEST_WORD = 10_000
# The number of a row, its word, and its values as they stand in the file.
Row = tuple[int, bytes, bytes]


def rows(layout: Layout, windows: Windows, window: Window) -> Iterator[Row]:
    """Goes through all rows of a file.

    Args:
        layout: of the file.
        windows: onto the file, of which the first is taken.
        window: the first.

    Returns:
        An iterator over the number of a row, as `layout.place` wants it; its word; its values,
        as `values` wants them.

    Raises:
        ValueError: if a row has another number of values, there are more or fewer rows than
            the header says, or the file is cut short.
    """
    return (_binary_rows if layout.binary else _text_rows)(layout, windows, window)


def values(layout: Layout, row: Row) -> np.ndarray:
    """The values of a row.

    Args:
        layout: of the file.
        row: of `rows`.

    Returns:
        float32 array `(width,)`.

    Raises:
        ValueError: if they are no finite numbers, or not as many.
    """
    number, word, data = row
    try:
        found = np.frombuffer(data, "<f4") if layout.binary else _from_text(data)
    except ValueError as error:
        raise ValueError(
            f"Expected {layout.width} numbers behind a word. "
            f"Received: {error} behind {word[:80]!r} in {layout.place(number)}."
        ) from None
    if len(found) != layout.width or not np.isfinite(found).all():
        raise ValueError(
            f"Expected {layout.width} finite numbers behind a word. "
            f"Received: {found} behind {word[:80]!r} in {layout.place(number)}."
        )
    return found


def _from_text(data: bytes) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.array([float(piece) for piece in data.split()], np.float32)


def _text_rows(layout: Layout, windows: Windows, window: Window) -> Iterator[Row]:
    found = 0
    first = 1 if layout.count is None else 2
    for number, line in enumerate(_lines(layout, windows, window), start=first):
        line = line.rstrip()
        if not line:
            continue
        found += 1
        if line.count(b" ") == layout.width:
            word, _, data = line.partition(b" ")
        else:
            word, data = _split(layout, number, line)
        yield number, word, data
    if layout.count not in (None, found):
        raise ValueError(
            f"Expected {layout.count} words, as the header says. "
            f"Received: {found} words in {layout.path}."
        )


def _split(layout: Layout, number: int, line: bytes) -> tuple[bytes, bytes]:
    """From the right: in some GloVe files, words contain spaces (". . ." is one of 840B)."""
    pieces = line.rsplit(None, layout.width)
    *front, last = pieces[0].split()
    if len(pieces) <= layout.width or (front and is_number(last)):
        word, *others = line.split()
        raise ValueError(
            f"Expected a word and {layout.width} numbers. "
            f"Received: {len(others)} behind {word[:80]!r} in {layout.place(number)}."
        )
    return b" ".join([*front, last]), b" ".join(pieces[1:])


def _lines(layout: Layout, windows: Windows, window: Window) -> Iterator[bytes]:
    at, number = layout.start, 1
    while True:
        end = window.find(b"\n", at)
        if end >= 0:
            yield window[at:end]
            at, number = end + 1, number + 1
        elif following := _more(layout, windows, len(window) - at, number):
            window, at = following
        else:
            yield window[at:]
            return


def _binary_rows(layout: Layout, windows: Windows, window: Window) -> Iterator[Row]:
    at, size, count = layout.start, 4 * layout.width, layout.count or 0
    for number in range(1, count + 1):
        while True:
            space = window.find(b" ", at, at + _LONGEST_WORD)
            end = space + 1 + size
            if space >= 0 and end <= len(window):
                break
            window, at = _more(layout, windows, len(window) - at, number) or _cut(layout, number)
        # word2vec.c ends each row by a line feed, which others leave out.
        yield number, window[at:space].lstrip(b"\n"), window[space + 1 : end]
        at = end
    window, at = windows.more(len(window) - at) or (window, at)
    if rest := window[at : at + 80].strip():
        raise ValueError(
            f"Expected {count} words of {layout.width} values, as the header says. "
            f"Received: {rest[:20]!r} behind {layout.place(count)}."
        )


def _cut(layout: Layout, number: int) -> tuple[Window, int]:
    raise ValueError(
        f"Expected {layout.count} words of {layout.width} values, as the header says. "
        f"Received: a file that ends in {layout.place(number)}."
    )


def _more(layout: Layout, windows: Windows, left: int, number: int) -> tuple[Window, int] | None:
    if left > LONGEST_ROW:
        raise ValueError(
            f"Expected rows of at most {LONGEST_ROW:,} bytes. "
            f"Received: more in {layout.place(number)}."
        )
    return windows.more(left)
