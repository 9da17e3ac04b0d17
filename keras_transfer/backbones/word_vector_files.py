"""Files of word vectors (word2vec text and binary, GloVe): the words that are wanted.

A file is gone through once, and only the wanted rows of it are kept. Numbers of other rows are
counted, not read.
"""

from __future__ import annotations

import contextlib
import numbers
import os
import pathlib
import reprlib
from collections.abc import Collection, Generator, Iterator

import numpy as np

from keras_transfer._progress import track
from keras_transfer.backbones.file_windows import open_windows
from keras_transfer.backbones.word_vector_layout import Layout, detect
from keras_transfer.backbones.word_vector_rows import Row, rows, values

# Files are sorted by how frequent words are; so many cover nearly all of most texts.
VOCABULARY = 100_000
_HEAD = 1 << 20


def read_word_vectors(
    path: str | os.PathLike[str], vocabulary: int | Collection[str] = VOCABULARY
) -> tuple[list[str], np.ndarray]:
    r"""Reads the wanted words of a file, and their vectors.

    The format is told from the content: word2vec's text or binary format, or GloVe's; as it is
    or packed with gzip. Bytes of words that are not UTF-8 are replaced. Where a word stands in
    the file several times, the first counts; rows without a word are left out.

    Args:
        path: of the file.
        vocabulary: int, so many words from the beginning of the file; or a collection of
            words, of which those that the file has are taken. Nothing behind the last of them
            is read.

    Returns:
        The words in the order of the file, and a float32 array `(words, width)`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no file of word vectors, it is empty or cut short, a row has
            another number of values than the first or no numbers, the header promises another
            number of words, or the file has none of the wanted words.

    Example:

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "glove.txt")
    ...     _ = path.write_text("the 0.5 1\ncat 2 -3\nsat 0 4\n")
    ...     read_word_vectors(path, ["sat", "cat", "mat"])
    (['cat', 'sat'], array([[ 2., -3.],
           [ 0.,  4.]], dtype=float32))
    """
    words, data = [], bytearray()
    for layout, word, row in _wanted(path, vocabulary):
        words.append(word)
        data += values(layout, row).tobytes()
    return words, np.frombuffer(data, np.float32).reshape(len(words), -1)


def read_words(
    path: str | os.PathLike[str], vocabulary: int | Collection[str] = VOCABULARY
) -> list[str]:
    r"""Reads the wanted words of a file, without their vectors; see `read_word_vectors`.

    Args:
        path: of the file.
        vocabulary: int or collection of words.

    Returns:
        The words that `read_word_vectors` returns.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: as `read_word_vectors`, though it does not look at the values.

    Example:

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "glove.txt")
    ...     _ = path.write_text("the 0.5 1\ncat 2 -3\nsat 0 4\n")
    ...     read_words(path, 2)
    ['the', 'cat']
    """
    return [word for _, word, _ in _wanted(path, vocabulary)]


def _wanted(
    path: str | os.PathLike[str], vocabulary: int | Collection[str]
) -> Iterator[tuple[Layout, str, Row]]:
    path = pathlib.Path(path).expanduser()
    wanted, limit = _wish(vocabulary)
    taken: set[str] = set()
    with contextlib.closing(_all_rows(path, None if wanted else limit)) as found:
        for layout, row in found:
            word = row[1].decode("utf-8", "replace")
            if not word or word in taken or (wanted and word not in wanted):
                continue
            taken.add(word)
            yield layout, word, row
            if len(taken) == limit:
                return
    if not taken:
        raise ValueError(
            f"Expected some words that {path} has; case matters. "
            f"Received: none in vocabulary={sorted(wanted)[:5]}."
        )


def _wish(vocabulary: int | Collection[str]) -> tuple[frozenset[str], int]:
    """The words that are wanted, none meaning all, and how many there can be."""
    if isinstance(vocabulary, numbers.Integral) and not isinstance(vocabulary, bool):
        if (limit := int(vocabulary)) > 0:
            return frozenset(), limit
    elif isinstance(vocabulary, Collection) and not isinstance(vocabulary, (str, bytes)):
        wanted = frozenset(vocabulary)
        if wanted and all(isinstance(word, str) and word for word in wanted):
            return wanted, len(wanted)
    raise ValueError(
        "Expected `vocabulary` to be a positive number of words, or words that are not empty. "
        f"Received: vocabulary={reprlib.repr(vocabulary)}."
    )


def _all_rows(path: pathlib.Path, limit: int | None) -> Generator[tuple[Layout, Row], None, None]:
    with open_windows(path) as windows:
        window, _ = windows.more(0) or (b"", 0)
        head = window[:_HEAD]
        if not head.strip():
            raise ValueError(f"Expected a file of word vectors. Received: {path}, which is empty.")
        layout = detect(head, str(path))
        _check_size(layout, windows.size)
        # Only the bar needs it: rows of text are about as long as the first one.
        total = layout.count or (windows.size and windows.size // (1 + head.find(b"\n") or 1))
        total = min(filter(None, (total, limit)), default=None)
        for row in track(rows(layout, windows, window), f"Reading {path.name}", total=total):
            yield layout, row


def _check_size(layout: Layout, size: int | None) -> None:
    """Finds an unfinished download even where only the first rows are wanted."""
    row = 4 * layout.width + len("a ")
    if layout.binary and size is not None and size < layout.start + (layout.count or 0) * row:
        last = layout.place((size - layout.start) // row + 1)
        raise ValueError(
            f"Expected {layout.count} words of {layout.width} values, as the header says. "
            f"Received: {size:,} bytes, which end before {last}."
        )
