"""One file of features: whole or not there, and checked."""

from __future__ import annotations

import numpy as np
import pytest

from keras_transfer.caching.shards import (
    DamagedShardError,
    ShardWriter,
    open_shard,
    remove_unfinished,
    remove_unused,
)

WIDTH = 24


def digest(number):
    return number.to_bytes(16, "little")


def write(folder, rows):
    writer = ShardWriter(folder, WIDTH)
    for number, row in enumerate(rows):
        writer.add([digest(number)], row[None])
    writer.publish()
    return [*folder.glob("[!.]*")]


@pytest.fixture
def rows():
    return np.random.default_rng(0).integers(0, 255, (5, WIDTH), dtype="uint8")


def test_a_shard_gives_what_was_written(tmp_path, rows):
    [path] = write(tmp_path, rows)
    shard = open_shard(path, WIDTH)
    shard.verify()
    np.testing.assert_array_equal(shard.rows(), rows)
    assert [row.tobytes() for row in shard.digests] == [digest(n) for n in range(5)]


def test_it_appears_when_it_is_whole(tmp_path, rows):
    writer = ShardWriter(tmp_path, WIDTH)
    writer.add([digest(0)], rows[:1])
    assert not [*tmp_path.glob("[!.]*")]
    size = writer.size
    writer.publish()
    [path] = tmp_path.iterdir()
    assert path.stat().st_size == size


def test_an_empty_or_discarded_shard_leaves_nothing(tmp_path, rows):
    ShardWriter(tmp_path, WIDTH).publish()
    writer = ShardWriter(tmp_path, WIDTH)
    writer.add([digest(0)], rows[:1])
    writer.discard()
    assert not [*tmp_path.iterdir()]


def test_what_a_killed_process_left_is_removed(tmp_path, rows):
    [path] = write(tmp_path, rows)
    killed = ShardWriter(tmp_path, WIDTH)
    killed.add([digest(0)], rows[:1])
    killed._file.close()
    remove_unfinished(tmp_path)
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("part", ["rows", "digests", "footer"])
def test_a_single_flipped_bit_is_found(tmp_path, rows, part):
    [path] = write(tmp_path, rows)
    data = bytearray(path.read_bytes())
    ends = {"rows": rows.nbytes, "digests": rows.nbytes + 5 * 16, "footer": len(data)}
    starts = {"rows": 0, "digests": rows.nbytes, "footer": rows.nbytes + 5 * 16}
    for place in range(starts[part], ends[part]):
        flipped = data.copy()
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedShardError):
            open_shard(path, WIDTH).verify()


def test_a_file_cut_short_anywhere_is_found(tmp_path, rows):
    [path] = write(tmp_path, rows)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DamagedShardError):
            open_shard(path, WIDTH).verify()


def test_rows_of_another_width_are_refused(tmp_path, rows):
    [path] = write(tmp_path, rows)
    with pytest.raises(DamagedShardError, match="rows of 12 bytes"):
        open_shard(path, 12)


def test_a_shard_that_is_read_is_not_removed(tmp_path, rows):
    [path] = write(tmp_path, rows)
    one, other = open_shard(path, WIDTH), open_shard(path, WIDTH)
    one.close()
    assert not remove_unused(path)
    other.close()
    assert remove_unused(path)
    assert remove_unused(path)  # gone already
    with pytest.raises(FileNotFoundError):
        open_shard(path, WIDTH)
