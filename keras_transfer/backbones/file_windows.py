"""Windows onto a large file, one after the other, so that no more than one is in memory.

A mapping of the whole file would count as memory wherever it was read.
"""

from __future__ import annotations

import contextlib
import gzip
import mmap
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import Protocol

WINDOW = 1 << 23
_GZIP = b"\x1f\x8b"

Window = bytes | mmap.mmap


class Windows(Protocol):
    """A file that is read once, from its beginning to its end."""

    size: int | None

    def more(self, left: int) -> tuple[Window, int] | None:
        """Goes on in the file.

        Args:
            left: int. How many bytes at the end of the last window are wanted again.

        Returns:
            A window that begins with them or before them, and where they begin in it; None
            if there is nothing behind them.

        Raises:
            ValueError: if a packed file cannot be unpacked.
        """


@contextlib.contextmanager
def open_windows(path: pathlib.Path) -> Iterator[Windows]:
    """Opens a file, packed with gzip or not: its first bytes tell.

    Args:
        path: of the file.

    Returns:
        A context manager that gives `Windows`; `size` is None where the file is packed.

    Raises:
        FileNotFoundError: if no file lies there.

    Example:

    >>> import pathlib
    >>> with open_windows(pathlib.Path(gzip.__file__)) as windows:
    ...     window, start = windows.more(0)
    ...     window.find(b"import") > start, windows.more(3)
    (True, None)
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected the path of a file. Received: {str(path)!r}.")
    with open(path, "rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if packed:
            with gzip.open(file) as unpacked:
                yield _Unpacked(path, unpacked)
        else:
            yield _Mapped(file.fileno())


class _Mapped:
    def __init__(self, descriptor: int):
        self._size = os.fstat(descriptor).st_size
        self.size: int | None = self._size
        self._descriptor = descriptor
        self._end = 0

    def more(self, left: int) -> tuple[Window, int] | None:
        if self._end == self._size:
            return None
        start = self._end - left
        skipped = start % mmap.ALLOCATIONGRANULARITY
        self._end = min(self._end + WINDOW, self._size)
        length, offset = self._end - start + skipped, start - skipped
        window = mmap.mmap(self._descriptor, length, access=mmap.ACCESS_READ, offset=offset)
        return window, skipped


class _Unpacked:
    def __init__(self, path: pathlib.Path, file: gzip.GzipFile):
        self.size: int | None = None
        self._path = path
        self._file = file
        self._window = b""

    def more(self, left: int) -> tuple[Window, int] | None:
        try:
            piece = self._file.read(WINDOW)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(
                f"Expected a whole file packed with gzip. Received: {self._path} ({error})."
            ) from error
        if not piece:
            return None
        self._window = self._window[len(self._window) - left :] + piece
        return self._window, 0
