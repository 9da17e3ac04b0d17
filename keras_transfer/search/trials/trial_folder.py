"""The files of one trial."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_transfer._atomic import replacing, write_text
from keras_transfer.adaptation.domain_adaptation import DomainAdaptation
from keras_transfer.training.weight_files import WeightFiles


@dataclasses.dataclass(frozen=True)
class TrialFolder:
    """Where the files of a trial lie.

    Attributes:
        path: the folder.
    """

    path: pathlib.Path

    @classmethod
    def of(cls, search: pathlib.Path, trial_id: str) -> TrialFolder:
        """That of a trial, in the folder of its search."""
        return cls(search / f"trial_{trial_id}")

    @property
    def weights(self) -> pathlib.Path:
        """Of the best epoch."""
        return self.path / "weights.npz"

    @property
    def shared_weights(self) -> pathlib.Path:
        """Of what is frozen, which all epochs share."""
        return self.path / "shared.npz"

    @functools.cached_property
    def _weight_files(self) -> WeightFiles:
        return WeightFiles(self.shared_weights)

    def save_weights(
        self,
        variables: Sequence[keras.Variable],
        in_training: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Keeps them as those of the best epoch; what is frozen is written the first time only.

        Args:
            variables: all of them, in the same order each time.
            in_training: those that can have changed since the last time; None for all.
        """
        with replacing(self.weights) as temporary:
            self._weight_files.save(temporary, variables, in_training)

    def load_weights(self) -> list[np.ndarray]:
        """Of the best epoch."""
        return self._weight_files.load(self.weights)

    def load_into(self, model: keras.Model) -> keras.Model:
        """The model as it was built, with its weights; of an adaptation, the adapted model."""
        if not model.built:
            model.build_from_config(json.loads(self.build_config.read_text()))
        model.set_weights(self.load_weights())
        return model.model if isinstance(model, DomainAdaptation) else model

    def remove_weights(self) -> None:
        """Where the trial is not among the best."""
        self.weights.unlink(missing_ok=True)
        self.shared_weights.unlink(missing_ok=True)

    @property
    def build_config(self) -> pathlib.Path:
        """What a subclassed model is built from before it gets its weights."""
        return self.path / "build_config.json"

    @property
    def _error(self) -> pathlib.Path:
        return self.path / "error.txt"

    @property
    def record(self) -> pathlib.Path:
        """What makes the training what it was."""
        return self.path / "training.json"

    def epochs(self, execution: int, halvings: int) -> pathlib.Path:
        """Checkpoints of an execution with its batches halved so many times."""
        return self.path / "epochs" / f"execution-{execution}-halved-{halvings}"

    def halvings(self, execution: int) -> int:
        """How often batches were halved before a kill."""
        names = (self.path / "epochs").glob(f"execution-{execution}-halved-*")
        return max((int(path.name.rpartition("-")[2]) for path in names), default=0)

    def note_halving(self, execution: int, halvings: int) -> None:
        """From now on batches are this small, after a kill, too."""
        shutil.rmtree(self.epochs(execution, halvings - 1), ignore_errors=True)
        self.epochs(execution, halvings).mkdir(parents=True, exist_ok=True)

    def finish(self) -> None:
        """Removes what nothing will go on from."""
        shutil.rmtree(self.path / "epochs", ignore_errors=True)

    def note_error(self, text: str) -> None:
        """Keeps the traceback of a failure for people to read."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self._error, text)

    def error(self) -> str | None:
        """The traceback of a failure, where there was one."""
        return self._error.read_text(encoding="utf-8") if self._error.is_file() else None

    def note_build_config(self, config: Any) -> None:
        """Keeps what the model was built from."""
        write_text(self.build_config, json.dumps(config))
