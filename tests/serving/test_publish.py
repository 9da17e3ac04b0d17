import multiprocessing
import os

from keras_transfer._atomic import staging_folder
from keras_transfer.serving.publish import publish_next_version, versions


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
