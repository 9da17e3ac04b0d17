"""Training that goes on after a kill: one folder an epoch, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_transfer._atomic import STAGING, publish, staging_folder
from keras_transfer.training.early_stopping import EarlyStopping
from keras_transfer.training.learner import variables_in_training
from keras_transfer.training.weight_files import WeightFiles, load_arrays, save_arrays

_VARIABLES, _OPTIMIZER, _SHARED = "variables.npz", "optimizer.npz", "shared.npz"
_BEST, _STATE, _START = "best.npz", "state.json", "start"


@dataclasses.dataclass
class Progress:
    """How far training has come.

    Attributes:
        stage: the stage that it is in.
        epochs: done in this stage.
        histories: logs of the epochs, for each stage so far.
        updates: how many the optimizer has made, for each stage so far.
        stopped: whether early stopping has ended this stage.
        ended: whether this stage's `fit` has come to its end, callbacks included.
    """

    stage: int = 0
    epochs: int = 0
    histories: list[dict[str, list[float]]] = dataclasses.field(default_factory=lambda: [{}])
    updates: list[int] = dataclasses.field(default_factory=lambda: [0])
    stopped: bool = False
    ended: bool = False

    def next_stage(self) -> Progress:
        """At the start of the next stage."""
        return Progress(self.stage + 1, 0, [*self.histories, {}], [*self.updates, 0])


class Checkpoints(keras.callbacks.Callback):
    """Keeps the state of training after every epoch in a folder of its own.

    Args:
        folder: where the epochs' folders lie; of one training only.
        settings: JSON dict that tells this training from others.
        early_stopping: the `EarlyStopping` whose state belongs to it, or None. It has to come
            earlier in the list of callbacks, as all others that change rates or logs.

    Attributes:
        progress: how far training has come; of the newest checkpoint where there is one.

    Raises:
        ValueError: if the folder belongs to a training with other settings.
    """

    def __init__(
        self, folder: pathlib.Path, settings: dict[str, Any], early_stopping: EarlyStopping | None
    ):
        super().__init__()
        self.folder = folder
        self.settings = settings
        self.early_stopping = early_stopping
        self.progress = Progress()
        self._early_stopping_state: dict[str, Any] = {}
        self._files = WeightFiles(folder / _SHARED)
        self._newest = self._find_newest()

    def start_weights(self, model: keras.Model) -> list[np.ndarray]:
        """The model's weights before the first epoch, those of the call that was killed included.

        For regularizers that pull to them; they are kept beside the epochs from now on.
        """
        if self._newest != self.folder:
            return load_arrays(self.folder / _START / _VARIABLES)
        shutil.rmtree(self.folder / _START, ignore_errors=True)
        with staging_folder(self.folder) as staging:
            save_arrays(staging / _VARIABLES, model.weights)
            publish(staging, self.folder / _START)
        return model.get_weights()

    def begin(self, model: keras.Model, progress: Progress, *, done: bool) -> None:
        """Begins a stage: from the newest checkpoint if it is of this stage.

        Args:
            model: compiled, its optimizer built.
            progress: how far training has come; kept up to date from here on.
            done: whether the stage was finished; then its end is made up for if it was killed in
                between.
        """
        found, self.progress = progress is self.progress, progress
        if not (found and progress.epochs):
            return
        values = self._files.load(self._newest / _VARIABLES)
        values += load_arrays(self._newest / _OPTIMIZER)
        variables = [*model.variables, *model.optimizer.variables]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        if progress.ended:
            return
        if done:  # as `fit` does at its end
            model.optimizer.finalize_variable_values(model.trainable_variables)
        if self.early_stopping and (self._newest / _BEST).is_file():
            weights = load_arrays(self._newest / _BEST)
            if done:
                model.set_weights(weights)
            else:
                self.early_stopping.resume(self._early_stopping_state, weights)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the state of this epoch."""
        progress, history = self.progress, self.progress.histories[-1]
        progress.epochs = epoch + 1
        progress.updates[-1] = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        progress.stopped = bool(self.model.stop_training)
        for name, value in (logs or {}).items():
            history[name] = [*history.get(name, []), float(value)]
        # By stage and epoch: a stage may have stopped early.
        self._publish(f"epoch-{progress.stage:03d}-{progress.epochs:05d}")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Once more: other callbacks may have put back the best weights, or averaged ones."""
        self.progress.ended = True
        self._publish(f"epoch-{self.progress.stage:03d}-{self.progress.epochs:05d}-ended")

    def _publish(self, name: str) -> None:
        """Writes a checkpoint, then removes those before it."""
        older = list(self.folder.glob("epoch-*"))
        try:
            with staging_folder(self.folder) as staging:
                self._write(staging)
                publish(staging, self.folder / name)
        except OSError as error:
            raise OSError(
                f"Expected room and permission for a checkpoint in {self.folder}; the one before "
                f"is kept, run again to go on from there. Received: {error}."
            ) from error
        for folder in older:
            shutil.rmtree(folder, ignore_errors=True)

    def _find_newest(self) -> pathlib.Path:
        for killed in self.folder.glob(f"{STAGING}*"):
            shutil.rmtree(killed, ignore_errors=True)
        newest = max(self.folder.glob("epoch-*"), default=self.folder)
        if newest != self.folder:
            state = json.loads((newest / _STATE).read_text())
            self._check_settings(state["settings"])
            self.progress = Progress(**state["progress"])
            self._early_stopping_state = state["early_stopping"] or {}
        return newest

    def _write(self, folder: pathlib.Path) -> None:
        # Weights, and where dropout stands in its random sequence.
        in_training = variables_in_training(self.model)
        self._files.save(folder / _VARIABLES, self.model.variables, in_training)
        save_arrays(folder / _OPTIMIZER, self.model.optimizer.variables)
        early_stopping = None
        if self.early_stopping and self.early_stopping.best_weights is not None:
            np.savez(folder / _BEST, *self.early_stopping.best_weights)
            early_stopping = self.early_stopping.state()
        state = {
            "settings": self.settings,
            "progress": dataclasses.asdict(self.progress),
            "early_stopping": early_stopping,
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


def epochs_in(folder: pathlib.Path) -> list[dict[str, float]]:
    """Logs of the epochs of a training so far, all stages one after the other."""
    newest = max(folder.glob("epoch-*"), default=None)
    if newest is None:
        return []
    histories = json.loads((newest / _STATE).read_text())["progress"]["histories"]
    return [epoch for history in histories for epoch in by_epoch(history)]


def by_epoch(history: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """What a Keras history has by names, epoch by epoch."""
    count = max(map(len, history.values()), default=0)
    return [{name: x[i] for name, x in history.items() if i < len(x)} for i in range(count)]
