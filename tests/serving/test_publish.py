import multiprocessing
import os
import time

import filelock
import pytest

from keras_transfer._atomic import staging_folder
from keras_transfer.serving.versions import locks
from keras_transfer.serving.versions.labels import set_label
from keras_transfer.serving.versions.numbers import versions
from keras_transfer.serving.versions.publish import publish_next_version


def _publish_ten(base):
    for _ in range(10):
        with staging_folder(base) as staging:
            (staging / "saved_model.pb").write_bytes(b"whole")
            publish_next_version(staging, base)


def test_versions_are_integer_names_alone(tmp_path):
    for name in ("3", "12", "v4", ".staging-5", "5.tmp"):
        (tmp_path / name).mkdir()
    assert versions(tmp_path) == [3, 12]
    assert versions(tmp_path / "nowhere") == []


def test_concurrent_exports_never_share_or_lose_a_version(tmp_path):
    processes = [
        multiprocessing.get_context("spawn").Process(target=_publish_ten, args=[tmp_path])
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert versions(tmp_path) == list(range(1, 31))
    assert all(os.listdir(tmp_path / str(n)) == ["saved_model.pb"] for n in versions(tmp_path))


def publish_one(base, keep=None):
    with staging_folder(base) as staging:
        (staging / "saved_model.pb").write_bytes(b"whole")
        return publish_next_version(staging, base, keep)


def test_the_newest_and_those_with_a_label_are_kept(tmp_path):
    base = tmp_path / "flowers"
    for _ in range(3):
        publish_one(base)
    set_label(base, "stable", 2)
    publish_one(base, keep=1)
    assert versions(base) == [2, 4]
    assert not list(base.glob(".trash*"))


def test_what_a_kill_left_behind_goes(tmp_path):
    (tmp_path / ".trash-3-abc").mkdir()
    old, new = tmp_path / ".staging-old", tmp_path / ".staging-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "file").write_text("")
    long_ago = time.time() - 2 * 24 * 3600
    for path in (old / "file", old):
        os.utime(path, (long_ago, long_ago))
    publish_one(tmp_path)
    assert sorted(x.name for x in tmp_path.glob(".[st]*")) == [".staging-new"]


def test_a_lock_that_somebody_holds_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_SECONDS_TO_WAIT", 0)
    lock = filelock.FileLock(tmp_path / ".publishing.lock")
    with lock, pytest.raises(TimeoutError, match="a lock that somebody else holds"):
        publish_one(tmp_path)
    assert versions(tmp_path) == []


def test_a_damaged_file_of_labels_stops_before_anything_is_published(tmp_path):
    base_path = tmp_path / "model"
    (base_path / "1").mkdir(parents=True)
    (tmp_path / "models.config").write_text("model_config_list {")
    with pytest.raises(ValueError, match="mend it or delete it"):
        publish_one(base_path, keep=1)
    assert versions(base_path) == [1]
