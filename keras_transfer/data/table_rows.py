"""Reads rows of CSV and TSV files, and says in which line something is wrong."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import os
import pathlib
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

_DIALECTS = {".csv": "excel", ".tsv": "excel-tab"}
_PIECE = 1 << 16
# The most that the csv module takes for a field; by default it stops at 131,072 characters.
_LONGEST = 2**31 - 1


def table_rows(
    path: str | os.PathLike[str], columns: Sequence[str], *, encoding: str = "utf-8"
) -> Iterator[tuple[int, list[str]]]:
    """Reads some columns of a table, row by row.

    Args:
        path: of a `.csv` or `.tsv` file, or such with `.gz`, quoted as Excel does; its first row
            names the columns.
        columns: the names of those wanted.
        encoding: of the text, as Python calls it. A mark of the byte order of UTF-8 is left out.

    Yields:
        The number of the line in which a row begins, from 1, and its fields in order of `columns`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has another name, is empty, lacks a column, cannot be decoded, or has a
            row with too few or too many fields.
    """
    with _reading(pathlib.Path(path), encoding) as reader:
        yield from _chosen(pathlib.Path(path), reader, columns)


def column_names(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> list[str]:
    """The names of a table's columns; none of an empty file. See `table_rows`."""
    with _reading(pathlib.Path(path), encoding) as reader:
        return next((row for _, row in _numbered(pathlib.Path(path), reader)), [])


@contextlib.contextmanager
def _reading(path: pathlib.Path, encoding: str) -> Iterator[Any]:
    """A reader of the file; what cannot be read of it is told in words."""
    dialect, encoding = _dialect(path), _known(encoding)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a file of texts. Received: {path}, no file.")
    limit = csv.field_size_limit(_LONGEST)
    try:
        with _open(path) as raw, io.TextIOWrapper(raw, encoding, newline="") as lines:
            yield csv.reader(lines, dialect, strict=True)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected text in {encoding}; `encoding=` names another. "
            f"Received: {path}, line {_undecodable_line(path, encoding)}: {error.reason}."
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"Expected a whole gzip file. Received: {path}, {error}.") from error
    finally:
        csv.field_size_limit(limit)


def _dialect(path: pathlib.Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    for suffix, dialect in _DIALECTS.items():
        if name.endswith(suffix):
            return dialect
    raise ValueError(f"Expected a file named .csv or .tsv, or .gz of such. Received: {path}.")


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise ValueError(
            f"Expected an encoding that Python knows. Received: encoding={encoding!r}."
        ) from error
    return "utf-8-sig" if name == "utf-8" else name


def _open(path: pathlib.Path) -> IO[bytes]:
    zipped = path.name.lower().endswith(".gz")
    return gzip.GzipFile(path) if zipped else path.open("rb")  # type: ignore[return-value]


def _chosen(
    path: pathlib.Path, reader: Any, columns: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    header: list[str] = []
    places: list[int] = []
    for line, row in _numbered(path, reader):
        if not header:
            header, places = row, _places(path, row, columns)
        elif len(row) != len(header):
            raise ValueError(
                f"Expected {len(header)} fields in each row, as many as columns; one that holds a "
                "separator, a quote or a new line has to be quoted. "
                f"Received: {path}, line {line}: {len(row)} fields."
            )
        else:
            yield line, [row[place] for place in places]
    if not header:
        raise ValueError(
            f"Expected a first row with the names of columns. Received: {path}, empty."
        )


def _numbered(path: pathlib.Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with the line in which each begins."""
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            "Expected fields that are quoted as Excel does. "
            f"Received: {path}, the row from line {line} on: {error}."
        ) from error


def _places(path: pathlib.Path, header: list[str], columns: Sequence[str]) -> list[int]:
    wrong = [column for column in columns if header.count(column) != 1]
    if wrong:
        raise ValueError(
            f"Expected one column for each of {wrong}; the arguments `text`, `label` (None for "
            f"texts without) and `split` name others. Received: {path} with the columns {header}."
        )
    return [header.index(column) for column in columns]


def _undecodable_line(path: pathlib.Path, encoding: str) -> int:
    """Decoders run ahead of lines: the file is gone through once more, at last byte by byte."""
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    with _open(path) as raw:
        while piece := raw.read(_PIECE):
            state = decoder.getstate()
            try:
                line += decoder.decode(piece).count("\n")
            except UnicodeDecodeError:
                decoder.setstate(state)
                return line + _lines_before_error(decoder, piece)
    return line


def _lines_before_error(decoder: codecs.IncrementalDecoder, piece: bytes) -> int:
    lines = 0
    try:
        for place in range(len(piece)):
            lines += decoder.decode(piece[place : place + 1]).count("\n")
    except UnicodeDecodeError:
        pass
    return lines
