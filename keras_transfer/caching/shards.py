"""One file of features: rows of bytes, the digests of their examples, and checksums.

The rows come first, so that they can be mapped into memory as they are; behind them the digests,
and a footer of fixed size. A shard appears under its name when it is whole, and never changes.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
import pathlib
import struct
import tempfile
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_transfer._atomic import STAGING

SUFFIX = ".features"
# What a folder of shards is searched for: nothing else is read, or removed to make room.
SHARDS = "[0-9a-f]" * 32 + SUFFIX
_MAGIC = b"KXSHARD1"
# magic, rows, bytes a row, checksum of the rows, checksum of all else
_FOOTER = struct.Struct("<8sQQ16s16s")
_DIGEST = 16
_PIECE = 1 << 20


class DamagedShardError(Exception):
    """A file that is not what was written."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """A whole shard, kept from removal until it is closed or forgotten.

    Attributes:
        path: of the file.
        digests: uint64 array `(rows, 2)`, of the example in each row.
        row_bytes: int.
        checksum: of the rows.
        lock: keeps others from removing it.
    """

    path: pathlib.Path
    digests: np.ndarray
    row_bytes: int
    checksum: bytes
    lock: _Lock

    def close(self) -> None:
        """Lets others remove it."""
        self.lock.close()

    def rows(self) -> np.ndarray:
        """The rows, uint8 `(rows, row_bytes)`, mapped into memory."""
        shape = (len(self.digests), self.row_bytes)
        return np.memmap(self.path, dtype=np.uint8, mode="r", shape=shape)

    def verify(self) -> None:
        """Reads all rows.

        Raises:
            DamagedShardError: if they are not those that were written.
        """
        digest = hashlib.blake2b(digest_size=_DIGEST)
        left = len(self.digests) * self.row_bytes
        with open(self.path, "rb") as file:
            while piece := file.read(min(left, _PIECE)):
                digest.update(piece)
                left -= len(piece)
        if digest.digest() != self.checksum:
            raise DamagedShardError(f"{self.path}: the checksum of its rows differs")


def open_shard(path: pathlib.Path, row_bytes: int) -> Shard:
    """Opens a shard, and keeps others from removing it.

    Args:
        path: of the file.
        row_bytes: int. How long its rows have to be.

    Raises:
        FileNotFoundError: if it is being removed.
        DamagedShardError: if all but its rows is not what was written.
    """
    lock = _Lock(path)
    with open(path, "rb") as file:
        rows, checksum, digests = _read(path, file, row_bytes)
    found = np.frombuffer(digests, "<u8").reshape(rows, 2)
    return Shard(path, found, row_bytes, checksum, lock)


class _Lock:
    """An open file with a lock that other readers share; it goes when this object does."""

    def __init__(self, path: pathlib.Path):
        descriptor = os.open(path, os.O_RDONLY)
        self.close = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileNotFoundError(f"{path} is being removed") from None
        if os.fstat(descriptor).st_nlink == 0:
            raise FileNotFoundError(f"{path} was removed")


def _read(path: pathlib.Path, file: Any, row_bytes: int) -> tuple[int, bytes, bytes]:
    """How many rows a shard has, their checksum, and the digests of their examples."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - _FOOTER.size))
    footer = file.read(_FOOTER.size)
    if len(footer) < _FOOTER.size:
        raise DamagedShardError(f"{path}: cut short")
    magic, rows, width, checksum, of_rest = _FOOTER.unpack(footer)
    if magic != _MAGIC or width != row_bytes or rows * (width + _DIGEST) != size - _FOOTER.size:
        raise DamagedShardError(f"{path}: not a shard of rows of {row_bytes} bytes")
    file.seek(rows * width)
    digests = file.read(rows * _DIGEST)
    if _checksum(footer[: -len(of_rest)] + digests) != of_rest:
        raise DamagedShardError(f"{path}: the checksum of its digests differs")
    return rows, checksum, digests


class ShardWriter:
    """Writes one shard into a hidden file, row by row, and gives it its name at the end.

    Args:
        folder: where it is to appear.
        row_bytes: int.
    """

    def __init__(self, folder: pathlib.Path, row_bytes: int):
        self.row_bytes = row_bytes
        descriptor, name = tempfile.mkstemp(prefix=STAGING, suffix=SUFFIX, dir=folder)
        self._staging = pathlib.Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._checksum = hashlib.blake2b(digest_size=_DIGEST)
        self._digests: list[bytes] = []

    @property
    def size(self) -> int:
        """How many bytes the shard will have."""
        return len(self._digests) * (self.row_bytes + _DIGEST) + _FOOTER.size

    def add(self, digests: Sequence[bytes], rows: np.ndarray) -> None:
        """Adds rows, uint8 `(n, row_bytes)`, and the digests of their examples."""
        data = np.ascontiguousarray(rows).data
        self._file.write(data)
        self._checksum.update(data)
        self._digests += digests

    def publish(self) -> None:
        """Makes the shard appear; nothing where it is empty.

        Nobody waits for the disk: what a failing power supply leaves, the checksums find.
        """
        if not self._digests:
            self.discard()
            return
        digests = b"".join(self._digests)
        head = struct.pack(
            "<8sQQ16s", _MAGIC, len(self._digests), self.row_bytes, self._checksum.digest()
        )
        of_rest = _checksum(head + digests)
        self._file.write(digests + head + of_rest)
        self._file.close()
        self._staging.chmod(0o644)
        os.rename(self._staging, self._staging.with_name(of_rest.hex() + SUFFIX))

    def discard(self) -> None:
        """Removes what was written."""
        self._file.close()
        self._staging.unlink(missing_ok=True)


def rows_in(size: int, row_bytes: int) -> int:
    """How many rows a shard of so many bytes has."""
    return max(0, size - _FOOTER.size) // (row_bytes + _DIGEST)


def remove_unfinished(folder: pathlib.Path) -> None:
    """Removes what a killed process has left; for who holds the lock of the folder."""
    for path in folder.glob(f"{STAGING}*"):
        path.unlink(missing_ok=True)


def remove_unused(path: pathlib.Path) -> bool:
    """Removes a shard unless somebody reads it; whether it did."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()
