"""`keras-transfer cache`, and `fit` with and without the cache."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import keras_transfer as kx
from keras_transfer.caching.shards import ShardWriter, open_shard
from keras_transfer.caching.store import Store, default_directory
from keras_transfer.cli import app

WIDTH = 100
ABOUT = {"model": "net [b]", "shapes": ["float32 (5,)", "float32 (20,)"], "row_bytes": WIDTH}
ONE, TWO, THREE = "12345678" + "0" * 16, "12345678" + "f" * 16, "9abcdef0" + "0" * 16


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The default folder of the cache, which is not there yet."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("COLUMNS", "120")
    return default_directory()


def add(folder, name, used, rows=10):
    """An entry with a shard that was used last at some time."""
    entry = Store(folder, 10**6).entry(name, ABOUT)
    writer = ShardWriter(entry, WIDTH)
    digests = [number.to_bytes(16, "big") for number in range(rows)]
    writer.add(digests, np.zeros([rows, WIDTH], np.uint8))
    writer.publish()
    [shard] = entry.glob("[!.]*.features")
    os.utime(shard, (used, used))
    return shard


def call(*arguments, code=0, **options):
    """Runs a command in this process and gives what it prints; errors are raised as they are."""
    command = [str(part) for part in arguments]
    result = CliRunner().invoke(app, command, catch_exceptions=False, **options)
    assert result.exit_code == code, result.output
    return result.output


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_default_folder_stands_beside_what_keras_downloads(folder, tmp_path):
    assert folder == tmp_path / "keras" / "keras_transfer" / "features"
    assert kx.FeatureCache().directory == folder


def test_entries_are_listed_with_their_figures_that_used_last_first(folder):
    add(folder, ONE, used=1e9)
    add(folder, TWO, used=1.2e9, rows=2000)
    add(folder, THREE, used=1.1e9)
    lines = call("cache", "list").splitlines()
    rows = [line.split() for line in lines if "net [b]" in line]
    assert [row[1] for row in rows] == [TWO[:9], THREE[:8], ONE[:9]]  # no other begins so
    assert "2,000" in rows[0]
    assert rows[0][-3].startswith("2008-01-1")
    assert sum("float32 (20,)" in line for line in lines) == 3
    size = (2020 * (WIDTH + 16) + 3 * 56) / 1000
    assert f"3 entries ({size:.3g} kB) in {folder}." in lines


def test_entry_of_a_real_model_is_listed_and_cleared(folder, tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    kx.FeatureExtraction().apply(model)
    kx.FeatureCache().features(kx.split_frozen(model)[0], tiny_data.train, verbose=False)
    shown = call("cache", "list")
    assert "tiny" in shown
    assert f" {tiny_data.num_train} " in shown
    assert "float32 (6,)" in shown
    call("cache", "clear", "--yes")
    assert names(folder) == [".lock"]


def test_empty_and_missing_folders_are_told(folder):
    assert f"no folder {folder}" in call("cache", "list")
    assert f"no folder {folder}" in call("cache", "clear", "--yes")
    folder.mkdir(parents=True)
    assert call("cache", "list") == f"No features are cached in {folder}.\n"
    assert "Nothing to clear" in call("cache", "clear")


def test_listing_loads_no_tensorflow(folder):
    add(folder, ONE, used=1e9)
    code = (
        "import sys; from keras_transfer.cli import app; app(['cache', 'list'], "
        "standalone_mode=False); sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ONE[:8] in done.stdout


@pytest.mark.parametrize(
    "about", [None, b"", b"\0" * 90, b'{"model": "n', b"[]", b'{"model": "net"}', b"\xff"]
)
def test_entry_with_a_damaged_description_is_unknown_and_can_be_cleared(folder, about):
    path = add(folder, ONE, used=1e9).parent / "about.json"
    if about is None:
        path.unlink()
    else:
        path.write_bytes(about)
    [row] = [line for line in call("cache", "list").splitlines() if ONE[:8] in line]
    assert row.count("unknown") == 3
    call("cache", "clear", ONE, "--yes")
    assert names(folder) == []


def test_damaged_description_is_written_anew(folder):
    path = add(folder, ONE, used=1e9).parent / "about.json"
    path.write_text("")
    add(folder, ONE, used=1e9)
    assert json.loads(path.read_text()) == ABOUT


def test_named_entries_are_cleared_by_the_beginning_of_their_names(folder):
    for name in (ONE, TWO, THREE):
        add(folder, name, used=1e9)
    assert "Removed 2 entries (2.43 kB)." in call("cache", "clear", "9", TWO, TWO[:9], "-y")
    assert names(folder) == [ONE]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("12345678", f"Received: '12345678', with which ({ONE}, {TWO}|{TWO}, {ONE}) begin"),
        ("f", f"Received: 'f', where .* has ({ONE}, {TWO}|{TWO}, {ONE})"),
        ("", "Received: ''"),
        ("..", "Received: '..'"),
        (f"../features/{ONE}", "Received: '../"),
        ("/", "Received: '/'"),
    ],
)
def test_unknown_and_ambiguous_names_remove_nothing(folder, name, told):
    add(folder, ONE, used=1e9)
    add(folder, TWO, used=1e9)
    with pytest.raises(ValueError, match=f"Expected names of cached entries.*{told}"):
        call("cache", "clear", ONE, name, "--yes")
    assert names(folder) == [ONE, TWO]


@pytest.mark.parametrize("name", ["..", ".", "", "photos", "../features/photos", "/", "notes.txt"])
def test_store_removes_nothing_that_is_no_entry(folder, name):
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "a.png").write_text("")
    (folder / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="Expected an entry's name"):
        Store(folder, 0).remove(name)
    assert (folder / "photos" / "a.png").exists()
    assert Store(folder, 0).remove(ONE)  # another process was faster
    assert names(folder) == ["notes.txt", "photos"]


def test_other_files_stay(tmp_path):
    """A folder that is no cache, and another one's files in one."""
    foreign = [
        "photos/a.png",
        "project/about.json",
        f"{TWO}/data.bin",
        f"{TWO[:-1]}0/about.json/deep",
        f"{THREE}/.hidden",
        f"{ONE}/mine.txt",
        ".config/about.json",
    ]
    for path in foreign:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("{}")
    (tmp_path / "empty").mkdir()
    add(tmp_path / "elsewhere", ONE, used=1e9)
    (tmp_path / ("0" * 24)).symlink_to(tmp_path / "elsewhere" / ONE)
    assert "No features are cached" in call("cache", "list", "--directory", tmp_path)
    shard = add(tmp_path, ONE, used=1e9)
    before = {path for path in tmp_path.rglob("*") if path.parent != tmp_path / ONE}
    shown = call("cache", "clear", "--directory", tmp_path, "--yes")
    assert "Removed 1 entry" in shown
    assert not shard.exists()
    after = {path for path in tmp_path.rglob("*") if path.parent != tmp_path / ONE}
    assert after == before
    assert names(tmp_path / ONE) == ["mine.txt"]
    assert "Nothing to clear" in call("cache", "clear", "--directory", tmp_path, "--yes")


def test_it_asks_before_it_removes(folder, monkeypatch):
    add(folder, ONE, used=1e9)
    with pytest.raises(ValueError, match="Expected --yes, as stdin is no terminal.*Received: no"):
        call("cache", "clear")
    # `keras_transfer.cli.cache` is the group of commands.
    module = importlib.import_module("keras_transfer.cli.cache")
    monkeypatch.setattr(module, "_can_ask", lambda: True)
    asked = call("cache", "clear", input="n\n", code=1)
    assert f"Remove 1 entry (1.22 kB) in {folder}? [y/N]" in asked
    assert "net [b]" in asked
    assert names(folder) == [ONE]
    call("cache", "clear", input="y\n")
    assert names(folder) == []


def test_what_others_use_stays_and_is_told(folder):
    for name in (ONE, THREE):
        add(folder, name, used=1e9)
    reader = open_shard(next((folder / ONE).glob("[!.]*.features")), WIDTH)
    shown = call("cache", "clear", "--yes", code=1)
    assert "Removed 1 entry (1.22 kB)." in shown
    assert f"In use by other processes, at least a part of them stays: {ONE[:8]}." in shown
    assert names(folder) == [ONE]
    del reader
    with Store(folder, 0).lock(folder / ONE):  # somebody computes
        assert "Removed 0 entries" in call("cache", "clear", "--yes", code=1)
    assert "Removed 1 entry" in call("cache", "clear", "--yes")


@pytest.mark.parametrize("command", [[], ["list"], ["clear"]])
def test_help_teaches(command):
    shown = call("cache", *command, "--help")
    assert "Usage" in shown
    assert not command or f"keras-transfer cache {command[0]}" in shown


FIT = ["--image-size", "32", "--epochs", "1", "--batch-size", "8"]


@pytest.mark.parametrize(
    ("options", "expected"), [([], "auto"), (["--cache"], "auto"), (["--no-cache"], None)]
)
def test_fit_uses_the_cache_unless_told(picture_folder, tmp_path, monkeypatch, options, expected):
    def stop(*_, cache, **__):
        raise RuntimeError(f"cache={cache!r}")

    monkeypatch.setattr(kx, "fine_tune", stop)
    with pytest.raises(RuntimeError, match=f"cache={expected!r}"):
        call("fit", picture_folder, "--output", tmp_path / "run", *FIT, *options)


@pytest.mark.slow
def test_killed_run_goes_on_with_the_cache_turned_off(
    picture_folder, tmp_path, folder, monkeypatch
):
    arguments = ["fit", picture_folder, "--output", tmp_path / "run", *FIT]
    with monkeypatch.context() as patch:  # after training, before the results are written
        patch.setattr("keras_transfer.runs.finish_run", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            call(*arguments)
    assert len(Store(folder, 0).entries()) == 1
    call(*arguments, "--no-cache")
    assert (tmp_path / "run" / "metrics.json").is_file()
