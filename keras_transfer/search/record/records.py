"""What people want to know of a search, read from its state alone: parameters, trials, scores."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from keras_transfer.search.record.parameters import Parameter, active_values, parameters_of
from keras_transfer.search.state.state_file import BEFORE, NEWEST, read_state
from keras_transfer.search.workers.heartbeat import was_alive

_SILENT_AFTER = 30.0  # seconds, after which nobody is at a trial any more
_STATUS = {"COMPLETED": "finished", "FAILED": "failed", "INVALID": "failed", "RUNNING": "running"}
# Where a traceback comes to the point.
_ERROR = re.compile(r"^[\w.]*(Error|Exception)\b")


@dataclasses.dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        name: str, that of KerasTuner.
        values: of the hyper-parameters that it has.
        status: "finished", "pruned", "failed", "running", or "interrupted".
        score: float, or None.
        best_epoch: int from 1, where it had its score.
        curves: of each metric, a value an epoch.
        reason: str, why it was ended early or failed; empty if neither.
        traceback: str, empty unless it failed.
        planned_epochs: int, where the oracle says it (Hyperband), or None.
    """

    name: str
    values: Mapping[str, Any]
    status: str
    score: float | None
    best_epoch: int
    curves: Mapping[str, Sequence[float]]
    reason: str
    traceback: str
    planned_epochs: int | None = None


@dataclasses.dataclass(frozen=True)
class SearchRecord:
    """A search, at one moment.

    Attributes:
        objective: str, the name of the metric.
        maximizes: bool, whether more is better.
        oracle: str, the name of its class.
        parameters: all of the space, in its order.
        trials: in the order in which they began.
        seconds: for which it has run in all.
        planned_trials: int, None where nobody knows.
        ended_by: str, the limit that has ended it, or None.
    """

    objective: str
    maximizes: bool
    oracle: str
    parameters: Sequence[Parameter]
    trials: Sequence[TrialRecord]
    seconds: float
    planned_trials: int | None
    ended_by: str | None

    @property
    def ranked(self) -> list[TrialRecord]:
        """Trials with a score, the best first; of equals the one that began first."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return sorted(scored, key=lambda x: (x.score or 0.0) * (-1 if self.maximizes else 1))

    @property
    def differing(self) -> list[Parameter]:
        """Parameters in which trials differ."""
        absent = object()
        return [
            parameter
            for parameter in self.parameters
            if len({x.values.get(parameter.name, absent) for x in self.trials}) > 1
        ]

    @property
    def same(self) -> dict[str, Any]:
        """Values that all trials have in common."""
        differing = {parameter.name for parameter in self.differing}
        values = self.trials[0].values if self.trials else {}
        return {name: value for name, value in values.items() if name not in differing}

    def epochs(self, trial: TrialRecord) -> int:
        """How many a trial has trained."""
        return len(trial.curves.get(self.objective, ()))


def read_search(folder: str | os.PathLike[str]) -> SearchRecord:
    """The newest sound state of a search, whether it is running or not; nothing is changed.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, and the one before as well.
    """
    folder = pathlib.Path(folder)
    damage: ValueError | None = None
    for name in (NEWEST, BEFORE):
        try:
            state = read_state(folder / name)
        except FileNotFoundError:
            continue
        except ValueError as error:
            damage = error
            continue
        return search_record(state, alive=_is_alive(folder))
    if damage is not None:
        raise ValueError(
            f"Expected a search whose state can be read. Received: {folder}, where {NEWEST} and "
            f"{BEFORE} are damaged or not there ({damage})."
        )
    raise FileNotFoundError(
        f"Expected the folder of a search, with {NEWEST} in it, which is there from the first "
        f"trial on. Received: {folder}."
    )


def search_record(state: Mapping[str, Any], *, alive: bool = True) -> SearchRecord:
    """What a state says.

    Args:
        state: as `KeptState` writes it.
        alive: whether a process is at the trials that have not ended.
    """
    identity, besides = state["identity"], state["besides"]
    trials = [
        _trial(trial, identity["objective"]["name"], besides["ended_early"], alive)
        for trial in state["trials"].values()
    ]
    spaces = [trial["hyperparameters"]["space"] for trial in state["trials"].values()]
    configs = [entry["config"] for space in spaces for entry in space]
    return SearchRecord(
        objective=identity["objective"]["name"],
        maximizes=identity["objective"]["direction"] == "max",
        oracle=identity["oracle"]["class"],
        parameters=parameters_of(configs, [trial.values for trial in trials]),
        trials=trials,
        seconds=besides["seconds"],
        planned_trials=besides.get("planned_trials"),
        ended_by=besides.get("ended_by"),
    )


def _trial(
    state: Mapping[str, Any], objective: str, ended_early: Mapping[str, str], alive: bool
) -> TrialRecord:
    name, status = state["trial_id"], _STATUS.get(state["status"], "running")
    traceback = (state["message"] or "") if status == "failed" else ""
    reason = ended_early.get(name, "")
    if status == "finished" and reason:
        status = "pruned" if reason.startswith("pruned") else "finished"
    if status == "running" and not alive:
        status = "interrupted"
    if traceback:
        lines = traceback.strip().splitlines()
        reason = next((line for line in reversed(lines) if _ERROR.match(line)), lines[-1])
    score = state["score"]
    return TrialRecord(
        name=name,
        values=active_values(state["hyperparameters"]),
        status=status,
        score=score if score is not None and math.isfinite(score) else None,
        best_epoch=int(state["best_step"] or 0) + 1,
        curves=_curves(state["metrics"]["metrics"]),
        reason=reason,
        traceback=traceback,
        planned_epochs=_planned_epochs(state["hyperparameters"]["values"]),
    )


def _planned_epochs(values: Mapping[str, Any]) -> int | None:
    if "tuner/epochs" not in values:
        return None
    return values["tuner/epochs"] - values["tuner/initial_epoch"]


def _curves(metrics: Mapping[str, Any]) -> dict[str, list[float]]:
    found = {}
    for name, metric in metrics.items():
        steps = sorted(metric["observations"], key=lambda entry: entry["step"])
        found[name] = [sum(x["value"]) / len(x["value"]) for x in steps]
    return found


def _is_alive(folder: pathlib.Path) -> bool:
    workers = [path.stem for path in (folder / "workers").glob("*.alive")]
    return any(was_alive(folder, worker, _SILENT_AFTER) for worker in workers)
