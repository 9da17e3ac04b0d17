import pathlib
import sys

import pytest

import keras_transfer as kx
from keras_transfer.serving.verification import answers, older_tensorflow
from keras_transfer.serving.verification.older_tensorflow import interpreter


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """What would be run; the environments lie in a folder of the test."""
    found = []

    def run(command):
        found.append(command)
        if "venv" in command:
            pathlib.Path(command[-1], "bin").mkdir(parents=True)

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(older_tensorflow, "_run", run)
    return found


def test_an_environment_is_made_once(commands, tmp_path):
    python = interpreter("2.19.1", with_text=False)
    assert python.parent.parent.name == "tensorflow-2.19.1"
    assert python.is_relative_to(tmp_path)
    assert commands[1][-2:] == ["tensorflow-cpu==2.19.1", "lazy-loader"]
    assert interpreter("2.19.1", with_text=False) == python
    assert len(commands) == 2


def test_texts_need_the_matching_operations(commands):
    interpreter("2.20.0", with_text=True)
    assert commands[1][-3:-1] == ["tensorflow==2.20.0", "tensorflow-text==2.20.*"]


def test_what_cannot_be_installed_is_told_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="another TensorFlow"):
        interpreter("2.20.0", with_text=False)
    assert not list(tmp_path.rglob("tensorflow-*"))
    with pytest.raises(ValueError, match="'newest'"):
        interpreter("newest", with_text=False)


def test_verify_loads_by_the_other_interpreter(small_version, monkeypatch):
    asked = []

    def this_one(tensorflow, *, with_text):
        asked.append((tensorflow, with_text))
        return pathlib.Path(sys.executable)

    monkeypatch.setattr(answers, "interpreter", this_one)
    steps = kx.verify(small_version, tensorflow=["2.20.0"])
    assert asked == [("2.20.0", False)]
    assert steps[-1] == "so it does through the C API of TensorFlow 2.20.0"
