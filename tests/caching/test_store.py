"""A folder of bounded size."""

from __future__ import annotations

import os

import numpy as np
import pytest

from keras_transfer.caching.shards import ShardWriter, open_shard
from keras_transfer.caching.store import CacheTooSmallError, Store, in_units

WIDTH = 100
ABOUT = {"model": "net", "shapes": ["float32 (25,)"], "row_bytes": WIDTH}


def add(store, name, number, used):
    """A shard of ten rows that was used last at some time."""
    folder = store.entry(name, ABOUT)
    before = set(folder.glob("[!.]*.features"))
    writer = ShardWriter(folder, WIDTH)
    writer.add([bytes([number, n] * 8) for n in range(10)], np.full([10, WIDTH], number, "uint8"))
    writer.publish()
    [path] = set(folder.glob("[!.]*.features")) - before
    os.utime(path, (used, used))
    return path


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    store = Store(tmp_path, 4000)
    paths = [add(store, "one", 0, 30), add(store, "two", 1, 10), add(store, "one", 2, 20)]
    size = paths[0].stat().st_size
    store.make_room(4000 - 3 * size)
    assert all(path.exists() for path in paths)
    store.make_room(4000 - 3 * size + 1)
    assert [path.exists() for path in paths] == [True, False, True]
    store.make_room(4000 - size)
    assert [path.exists() for path in paths] == [True, False, False]


def test_what_is_read_stays(tmp_path):
    store = Store(tmp_path, 2500)
    paths = [add(store, "one", 0, 10), add(store, "two", 1, 20)]
    reader = open_shard(paths[0], WIDTH)
    store.make_room(1000)
    assert [path.exists() for path in paths] == [True, False]
    with pytest.raises(CacheTooSmallError, match="in use leaves no room within 2.5 kB"):
        store.make_room(2000)
    reader.close()
    store.make_room(2000)
    assert not paths[0].exists()


def test_it_tells_before_the_work_what_cannot_fit(tmp_path, monkeypatch):
    store = Store(tmp_path, 4000)
    store.check_size(4000)
    with pytest.raises(CacheTooSmallError, match="take 4 kB, the cache is bound to 4 kB"):
        store.check_size(4001)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="take 3 kB, the disk has 10 bytes left"):
        store.check_size(3000)


def test_entries_are_listed_that_used_last_first(tmp_path):
    store = Store(tmp_path, 10**6)
    add(store, "one", 0, 10)
    add(store, "two", 1, 30)
    add(store, "one", 2, 20)
    listed = store.entries()
    assert [entry.name for entry in listed] == ["two", "one"]
    assert [entry.rows for entry in listed] == [10, 20]
    assert listed[0].model == "net"
    assert Store(tmp_path / "none", 1).entries() == []


def test_an_entry_is_removed_unless_it_is_read(tmp_path):
    store = Store(tmp_path, 10**6)
    path = add(store, "one", 0, 10)
    reader = open_shard(path, WIDTH)
    assert not store.remove("one")
    assert path.exists()
    reader.close()
    assert store.remove("one")
    assert not path.parent.exists()


def test_bytes_are_told_in_units():
    found = [in_units(n) for n in (12, 4090, 4_090_000, 12_300_000_000)]
    assert found == ["12 bytes", "4.09 kB", "4.09 MB", "12.3 GB"]
