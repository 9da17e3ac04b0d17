"""The folder of one training: everything that `keras-transfer export` needs, and the figures."""

from __future__ import annotations

import csv
import importlib
import json
import os
import pathlib
import shutil
from typing import Any

import keras

from keras_transfer._atomic import replacing, write_text
from keras_transfer.evaluation.adaptation_reports import AdaptationReport
from keras_transfer.evaluation.reports import ClassificationReport, RegressionReport
from keras_transfer.models.notes import note_preprocessor, preprocessor_of, set_class_names

# Keras finds layers of this package once these are imported, which nothing else has done yet.
_REGISTERING = tuple(
    f"keras_transfer.backbones.{name}" for name in ("byte_pair", "hub_layer", "word_piece", "words")
)
# Written last: a folder with it holds a finished training.
METRICS = "metrics.json"
_STATE, _SETTINGS, _MODEL, _NAMES, _PREPROCESSOR, _HISTORY = (
    ".training",
    "settings.json",
    "model.keras",
    "class_names.json",
    "preprocessor.json",
    "history.csv",
)


def start_run(folder: pathlib.Path, settings: dict[str, Any], *, overwrite: bool) -> pathlib.Path:
    """Prepares a run folder, or takes up an interrupted training with the same settings.

    Args:
        folder: the run folder; made if it is not there.
        settings: JSON dict of everything that makes the training what it is.
        overwrite: whether a finished or another training in the folder may be replaced.

    Returns:
        The folder for checkpoints. Until `finish_run`, an earlier result stays as it is.

    Raises:
        FileExistsError: if the folder holds another training and `overwrite` is False.
    """
    state = folder / _STATE
    text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    checkpoints = state / "checkpoints"
    # Hidden ones are not whole.
    interrupted = (state / _SETTINGS).is_file() and any(checkpoints.glob("[!.]*"))
    if interrupted and (state / _SETTINGS).read_text() == text:
        return checkpoints
    if not overwrite and (interrupted or (folder / METRICS).is_file()):
        held = _difference(state / _SETTINGS, settings) if interrupted else "a finished training"
        raise FileExistsError(
            "Expected a new run folder, or an interrupted run with these settings: choose another "
            f"folder, or replace this one by --overwrite. Received: {folder}, which holds {held}."
        )
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    write_text(state / _SETTINGS, text)
    return checkpoints


def finish_run(
    folder: pathlib.Path,
    model: keras.Model,
    history: list[keras.callbacks.History],
    report: ClassificationReport | RegressionReport | AdaptationReport,
) -> None:
    """Writes the results, each file at once and the metrics last, and drops the checkpoints."""
    with replacing(folder / _MODEL) as temporary:
        model.save(temporary)
        # From here to the end the folder holds no finished run.
        (folder / METRICS).unlink(missing_ok=True)
    write_text(folder / _NAMES, json.dumps(getattr(model, "class_names", []), indent=1) + "\n")
    _write_preprocessor(folder / _PREPROCESSOR, preprocessor_of(model))
    write_text(folder / _SETTINGS, (folder / _STATE / _SETTINGS).read_text())
    _write_history(folder / _HISTORY, history)
    report.save(folder)
    (folder / _STATE / _SETTINGS).unlink()
    shutil.rmtree(folder / _STATE)


def load_run(folder: str | os.PathLike[str]) -> tuple[keras.Model, dict[str, Any]]:
    """Loads the model of a finished run with its class names, and the settings that made it.

    Raises:
        FileNotFoundError: if the folder holds no finished run.
    """
    folder = pathlib.Path(folder)
    if not (folder / METRICS).is_file():
        raise FileNotFoundError(
            "Expected the folder of a finished `keras-transfer fit`, with model.keras and "
            f"{METRICS} in it. Received: {folder}."
        )
    settings = json.loads((folder / _SETTINGS).read_text())
    for module in _REGISTERING:
        importlib.import_module(module)
    # Its optimizer is not wanted, and Keras warns where it finds other weights frozen than before.
    model = keras.models.load_model(folder / _MODEL, compile=False)
    if settings.get("resize") is not None:
        model.resize = settings["resize"]
    if (folder / _PREPROCESSOR).is_file():
        told = json.loads((folder / _PREPROCESSOR).read_text(encoding="utf-8"))
        note_preprocessor(model, keras.saving.deserialize_keras_object(told))
    return set_class_names(model, json.loads((folder / _NAMES).read_text())), settings


def _write_preprocessor(path: pathlib.Path, preprocessor: keras.layers.Layer | None) -> None:
    if preprocessor is None:
        path.unlink(missing_ok=True)  # of an earlier training
        return
    write_text(path, json.dumps(keras.saving.serialize_keras_object(preprocessor)) + "\n")


def _difference(file: pathlib.Path, settings: dict[str, Any]) -> str:
    found = json.loads(file.read_text())
    keys = sorted(set(found) | set(settings))
    other = {key: found.get(key) for key in keys if found.get(key) != settings.get(key)}
    return f"an interrupted training with {other}"


def _write_history(path: pathlib.Path, stages: list[keras.callbacks.History]) -> None:
    """One row an epoch of a stage, the columns being what Keras logged."""
    names = sorted({name for history in stages for name in history.history})
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stage", "epoch", *names])
        for stage, history in enumerate(stages):
            for row, epoch in enumerate(history.epoch):
                logs = history.history
                writer.writerow([stage, epoch, *(logs[n][row] if n in logs else "" for n in names)])
