"""What a search knows, in one file that is whole whenever the process is killed."""

from __future__ import annotations

import json
import os
import pathlib
import warnings
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from keras_transfer.search.state.identity import Identity, check_same
from keras_transfer.search.state.oracle_state import (
    begin_interrupted_again,
    oracle_state,
    set_oracle_state,
)
from keras_transfer.search.state.state_file import BEFORE, NEWEST, read_state, write_state


class KeptState:
    """An oracle and its trials, written after every change.

    KerasTuner 1.4.8 writes several files in place, and before it lets go of a finished trial; a
    kill between leaves a file cut short, or runs the trial again:
    https://github.com/keras-team/keras-tuner/blob/v1.4.7/keras_tuner/src/engine/oracle.py.
    Here all of it is in one file, and the one before is kept for the case that the disk damages
    the newest.

    Args:
        oracle: keras_tuner.Oracle.
        folder: of the search.
        identity: JSON dict of what a search that goes on must have in common with this one.
    """

    def __init__(self, oracle: keras_tuner.Oracle, folder: pathlib.Path, identity: Identity):
        self.oracle = oracle
        self.folder = folder
        self.identity: Identity = json.loads(json.dumps(identity))

    def write(self, besides: dict[str, Any]) -> str:
        """Replaces the file.

        Args:
            besides: JSON dict of what else is to be kept.

        Returns:
            What was written, as JSON.

        Raises:
            OSError: if there is no room or permission; the file before stays.
        """
        state = {
            "identity": self.identity,
            "oracle": oracle_state(self.oracle),
            "trials": {key: trial.get_state() for key, trial in self.oracle.trials.items()},
            "besides": besides,
        }
        text = json.dumps(state, default=_plain)
        try:
            write_state(self.folder, text)
        except OSError as error:
            raise OSError(
                f"Expected room and permission for the state of the search in {self.folder}; what "
                f"was finished before is kept, search again to go on from there. Received: {error}."
            ) from error
        return text

    def restore(self, *, running: bool = False) -> dict[str, Any] | None:
        """Sets the oracle to the newest state that is sound.

        Args:
            running: whether trials of workers may still run; else they come first again.

        Returns:
            What was kept besides; None where there is no state.

        Raises:
            ValueError: if the state is of another search.
        """
        state = self._newest()
        if state is None:
            return None
        check_same(self.identity, state["identity"], self.folder)
        self.identity = state["identity"] | self.identity
        trials = {k: Trial.from_state(v) for k, v in state["trials"].items()}
        set_oracle_state(self.oracle, trials, state["oracle"])
        if not running:
            begin_interrupted_again(self.oracle)
        return state["besides"]

    def expect(self, more: Identity) -> None:
        """Adds to what searches that go on must have in common.

        Raises:
            ValueError: if the one that this goes on with has it otherwise.
        """
        check_same(more, self.identity, self.folder)
        self.identity = self.identity | more

    def seed(self) -> int:
        """That of the oracle whose state this is."""
        state = self._newest()
        if state is None:
            raise FileNotFoundError(
                f"Expected the chief to search in the same folder. Received: {self.folder}."
            )
        return state["oracle"]["state"]["seed"]

    def _newest(self) -> dict[str, Any] | None:
        for name in (NEWEST, BEFORE):
            path = self.folder / name
            try:
                return read_state(path)
            except FileNotFoundError:
                continue
            except ValueError as error:
                aside = path.with_name(f"{name}.damaged")
                os.replace(path, aside)
                warnings.warn(
                    f"{path} is damaged ({error}) and lies in {aside.name} now; the search goes on "
                    "from the state before.",
                    stacklevel=4,
                )
        return None


def _plain(value: Any) -> Any:
    """NumPy's numbers, which JSON does not know."""
    return value.item()
