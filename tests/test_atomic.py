import os

import pytest

from keras_transfer._atomic import publish, staging_folder, write_text


def test_staging_folder_is_hidden_and_goes_away(tmp_path):
    def killed():
        with staging_folder(tmp_path / "base") as staging:
            (staging / "file").write_text("half")
            assert staging.name.startswith(".")
            raise ValueError("killed")

    with pytest.raises(ValueError, match="killed"):
        killed()
    assert os.listdir(tmp_path / "base") == []


def test_published_folder_appears_whole(tmp_path):
    with staging_folder(tmp_path) as staging:
        (staging / "inner").mkdir()
        (staging / "inner" / "file").write_text("all")
        publish(staging, tmp_path / "1")
    assert (tmp_path / "1" / "inner" / "file").read_text() == "all"
    assert os.listdir(tmp_path) == ["1"]


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "1").mkdir()
    with staging_folder(tmp_path) as staging, pytest.raises(FileExistsError):
        publish(staging, tmp_path / "1")


def test_text_is_replaced_at_once_or_stays(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_text(path, "old")
    monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.json"]
