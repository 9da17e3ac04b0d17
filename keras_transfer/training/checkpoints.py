"""Training that goes on after a kill: one folder an epoch, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
from typing import Any

import keras
import numpy as np

from keras_transfer._atomic import publish, staging_folder

# Arrays in NumPy's format: HDF5 answers a full disk with a crash.
_VARIABLES, _BEST, _STATE = "variables.npz", "best.npz", "state.json"


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's early stopping on the validation loss, able to go on from a checkpoint.

    Args:
        patience: int. Epochs without a lower validation loss before training stops; the weights
            of the best epoch are restored at the end.
    """

    def __init__(self, patience: int):
        super().__init__("val_loss", mode="min", patience=patience, restore_best_weights=True)
        self._resumed: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        """What has to be kept besides the best weights."""
        best = None if self.best is None else float(self.best)
        return {"best": best, "best_epoch": self.best_epoch, "wait": self.wait}

    def resume(self, state: dict[str, Any], best_weights: list[np.ndarray]) -> None:
        """Takes up the state at the next start of training."""
        self._resumed = {**state, "best_weights": best_weights}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keras forgets everything here."""
        super().on_train_begin(logs)
        for name, value in self._resumed.items():
            setattr(self, name, value)


@dataclasses.dataclass
class Progress:
    """How far training had come: epochs done, their logs, whether it had stopped early."""

    epochs: int
    history: dict[str, list[float]]
    stopped: bool


class Checkpoints(keras.callbacks.Callback):
    """Keeps the state of training after every epoch in a folder of its own.

    Args:
        folder: where the epochs' folders lie; of one training only.
        settings: JSON dict that tells this training from others, `epochs` among them.
        early_stopping: the `EarlyStopping` whose state belongs to it, or None. It has to come
            earlier in the list of callbacks.
    """

    def __init__(
        self, folder: pathlib.Path, settings: dict[str, Any], early_stopping: EarlyStopping | None
    ):
        super().__init__()
        self.folder = folder
        self.settings = settings
        self.early_stopping = early_stopping
        self._history: dict[str, list[float]] = {}

    def restore(self, model: keras.Model) -> Progress:
        """Loads the newest state, if there is one, into the compiled model and its optimizer.

        Raises:
            ValueError: if the folder belongs to a training with other settings.
        """
        for killed in self.folder.glob(".staging-*"):
            shutil.rmtree(killed, ignore_errors=True)
        newest = max(self.folder.glob("epoch-*"), default=None)
        if newest is None:
            return Progress(0, {}, False)
        state = json.loads((newest / _STATE).read_text())
        self._check_settings(state["settings"])
        model.optimizer.build(model.trainable_variables)
        values = _load_arrays(newest / _VARIABLES)
        for variable, value in zip(_variables(model), values, strict=True):
            variable.assign(value)
        if self.early_stopping and (newest / _BEST).is_file():
            weights = _load_arrays(newest / _BEST)
            self.early_stopping.resume(state["early_stopping"], weights)
            if state["stopped"] or state["epochs"] >= self.settings["epochs"]:
                model.set_weights(weights)
        self._history = state["history"]
        return Progress(state["epochs"], dict(self._history), state["stopped"])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the state of this epoch, then removes those before it."""
        for name, value in (logs or {}).items():
            self._history[name] = [*self._history.get(name, []), float(value)]
        older = list(self.folder.glob("epoch-*"))
        try:
            with staging_folder(self.folder) as staging:
                self._write(staging, epoch + 1)
                publish(staging, self.folder / f"epoch-{epoch + 1:05d}")
        except OSError as error:
            raise OSError(
                f"Expected room and permission for a checkpoint in {self.folder}; the one before "
                f"is kept, run again to go on from there. Received: {error}."
            ) from error
        for folder in older:
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, folder: pathlib.Path, epochs: int) -> None:
        np.savez(folder / _VARIABLES, *(_array(variable) for variable in _variables(self.model)))
        early_stopping = None
        if self.early_stopping and self.early_stopping.best_weights is not None:
            np.savez(folder / _BEST, *self.early_stopping.best_weights)
            early_stopping = self.early_stopping.state()
        state = {
            "settings": self.settings,
            "epochs": epochs,
            "history": self._history,
            "early_stopping": early_stopping,
            "stopped": bool(self.model.stop_training),
        }
        (folder / _STATE).write_text(json.dumps(state, indent=1))

    def _check_settings(self, found: dict[str, Any]) -> None:
        expected = json.loads(json.dumps(self.settings))
        keys = sorted(set(found) | set(expected))
        other = {key: found.get(key) for key in keys if found.get(key) != expected.get(key)}
        if other:
            raise ValueError(
                f"Expected checkpoints of this training in {self.folder}: remove the folder or "
                f"choose another to train anew. Received: checkpoints made with {other}."
            )


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Weights, where dropout stands in its random sequence, and the optimizer's state."""
    return [*model.variables, *model.optimizer.variables]


def _array(variable: keras.Variable) -> np.ndarray:
    """NumPy's files hold no bfloat16; float32 holds it exactly."""
    value = np.asarray(variable.numpy())
    return value if value.dtype.isbuiltin == 1 else value.astype("float32")


def _load_arrays(path: pathlib.Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[f"arr_{index}"] for index in range(len(arrays.files))]
