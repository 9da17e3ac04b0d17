"""Searches by the settings of the command line, into a run folder."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import sys
from typing import TYPE_CHECKING, Any

from keras_transfer._atomic import write_text
from keras_transfer.cli.data import fingerprint
from keras_transfer.cli.search_space import make_tuner, splits_of
from keras_transfer.cli.search_table import print_search
from keras_transfer.search.state.state_file import BEFORE, NEWEST

if TYPE_CHECKING:
    import filelock

_SETTINGS, _LOCK, _REPORT = "settings.json", ".lock", "report.html"
_TOP = 10
# What makes no other search of it.
_MAY_CHANGE = (
    *("trials", "hours", "max_epochs", "max_disk"),
    *("keep", "workers", "cache", "tensorboard"),
)


def search_run(settings: dict[str, Any], output: pathlib.Path, *, overwrite: bool) -> None:
    """Searches by the settings of `search` into a run folder, in this process or in several."""
    if "KERASTUNER_TUNER_ID" in os.environ:  # the chief of several, or a worker
        _search(settings, output)
        return
    _start(settings, output, overwrite=overwrite)
    if settings["workers"] == 1:
        _search(settings, output)
    else:
        from keras_transfer.search.workers.processes import run_workers

        _locked(output).lock.release()  # nobody else is at it; the chief locks it
        program = [sys.executable, "-c", "from keras_transfer.cli import main; main()"]
        run_workers([*program, *sys.argv[1:]], settings["workers"], gpus=_gpus())
    _finish(output)


def export_best(
    run: pathlib.Path, base_path: pathlib.Path, *, num_models: int, retrain: bool
) -> None:
    """Tests and exports the best models of the search in a run folder.

    Raises:
        FileNotFoundError: if there is none.
    """
    import keras_transfer as kx

    settings = _held(run)
    if settings is None:
        raise FileNotFoundError(f"Expected the folder of a search. Received: {run}.")
    splits = splits_of(settings)
    with _locked(run):
        tuner = make_tuner(settings, splits.class_names, run)
        best = kx.export_best_models(tuner, splits, base_path, num_models, retrain=retrain)
    for model in best:
        print(f"{model.version}: trained from {model.record}.")


def _search(settings: dict[str, Any], output: pathlib.Path) -> None:
    import keras

    splits = splits_of(settings)
    worker = os.environ.get("KERASTUNER_TUNER_ID", "chief") != "chief"
    boards = []
    if settings["tensorboard"]:
        boards.append(keras.callbacks.TensorBoard(output / "tensorboard", write_graph=False))
    with contextlib.nullcontext() if worker else _locked(output):
        tuner = make_tuner(settings, splits.class_names, output)
        tuner.search(
            splits.train,
            validation_data=splits.validation,
            epochs=settings["epochs"],
            callbacks=boards,
        )


def _finish(output: pathlib.Path) -> None:
    import keras_transfer as kx

    print_search(output, top=_TOP)
    report = kx.search_report(output, output / _REPORT)
    print(f"All is in {output}; look at {report}.")


def _start(settings: dict[str, Any], output: pathlib.Path, *, overwrite: bool) -> None:
    """Prepares the folder, or finds that it is of this search.

    Raises:
        FileExistsError: if it is of another one, or of something else.
    """
    import keras

    import keras_transfer as kx

    identity = {
        "command": "search",
        **settings,
        "data_fingerprint": fingerprint(settings["data"]),
        "versions": {"keras_transfer": kx.__version__, "keras": keras.__version__},
    }
    found = _held(output)
    if found is not None and overwrite:
        shutil.rmtree(output)
    elif found is not None and any((output / name).is_file() for name in (NEWEST, BEFORE)):
        differences = _differences(found, json.loads(json.dumps(identity)))
        if differences:
            raise FileExistsError(
                "Expected the command line that began this search: choose another folder, or "
                f"begin anew by --overwrite. Received for {output}: {'; '.join(differences)}."
            )
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / _SETTINGS, json.dumps(identity, indent=1, sort_keys=True) + "\n")


def _held(output: pathlib.Path) -> dict[str, Any] | None:
    """The settings of the search that a folder holds; None where there is nothing."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    try:
        found = json.loads((output / _SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if found.get("command") != "search":
        raise FileExistsError(
            "Expected a new run folder, or the folder of a search to go on with: choose another "
            f"one. Received: {output}, which holds something else."
        )
    return found


def _differences(found: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    names = sorted((found.keys() | settings.keys()) - set(_MAY_CHANGE))
    return [
        f"{name} was {found.get(name)} and is {settings.get(name)}"
        for name in names
        if found.get(name) != settings.get(name)
    ]


def _locked(output: pathlib.Path) -> filelock.AcquireReturnProxy:
    """One process alone decides what is tried, until the lock is released or `with` ends.

    Raises:
        RuntimeError: if another one is at it.
    """
    import filelock

    try:
        return filelock.FileLock(output / _LOCK).acquire(timeout=0)
    except filelock.Timeout as error:
        raise RuntimeError(
            "Expected a search that nobody is running: look at it by `keras-transfer search show`, "
            f"or end it first. Received: {output}."
        ) from error


def _gpus() -> list[str]:
    """As `CUDA_VISIBLE_DEVICES` names them."""
    import tensorflow as tf

    count = len(tf.config.list_physical_devices("GPU"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]
