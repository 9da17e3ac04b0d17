"""Environments with other versions of TensorFlow, to load versions in.

TensorFlow promises that a SavedModel loads in the same and in later minor versions; a server is
often an earlier one.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

from keras_transfer._atomic import publish, staging_folder
from keras_transfer._keras_home import keras_home

_VERSION = re.compile(r"\d+\.\d+\.\d+")


def interpreter(tensorflow: str, *, with_text: bool) -> pathlib.Path:
    """The Python of an environment with that TensorFlow, made by pip when it is first asked for.

    Args:
        tensorflow: str, such as "2.20.0".
        with_text: whether TensorFlow Text has to be there, too.

    Raises:
        RuntimeError: if pip cannot install it.
        ValueError: if it is no version.
    """
    if not _VERSION.fullmatch(tensorflow):
        raise ValueError(f"Expected a version such as '2.20.0'. Received: {tensorflow!r}.")
    name = f"tensorflow-{tensorflow}{'-text' * with_text}"
    folder = keras_home() / "keras_transfer" / "environments" / name
    if not folder.is_dir():
        with staging_folder(folder.parent) as staging:
            _make(staging, tensorflow, with_text)
            publish(staging, folder)
    return folder / "bin" / "python"


def text_libraries_of(python: pathlib.Path) -> list[pathlib.Path]:
    """The files of TensorFlow Text's operations in such an environment."""
    places = "lib/python*/site-packages/tensorflow_text/python/ops/*.so"
    return sorted(python.parents[1].glob(places))


def _make(folder: pathlib.Path, tensorflow: str, with_text: bool) -> None:
    # Text depends on the package with GPUs, which is as good.
    minor = tensorflow.rpartition(".")[0]
    wanted = [f"tensorflow=={tensorflow}", f"tensorflow-text=={minor}.*"]
    packages = wanted if with_text else [f"tensorflow-cpu=={tensorflow}"]
    _run([sys.executable, "-m", "venv", str(folder)])
    # What importing this package takes.
    _run([str(folder / "bin/python"), "-m", "pip", "install", "-q", *packages, "lazy-loader"])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"Expected to install another TensorFlow by {' '.join(command[-4:])}. "
            f"Received: {done.stderr.strip()[-500:]}"
        )
