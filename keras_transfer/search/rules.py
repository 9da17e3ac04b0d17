"""The rules of a search, put around an oracle: what ends a trial, what ends all, what is kept."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from keras_transfer.search.budget import SearchBudget
from keras_transfer.search.pruning import Curve, Pruner
from keras_transfer.search.record.records import SearchRecord, search_record
from keras_transfer.search.state.identity import Identity
from keras_transfer.search.state.kept_state import KeptState
from keras_transfer.search.state.oracle_state import planned_trials
from keras_transfer.search.trials.outcomes import FAILED, INVALID, remove_what_is_over
from keras_transfer.search.trials.trial_folder import TrialFolder

STOPPED, IDLE = TrialStatus.STOPPED, TrialStatus.IDLE


class Rules:
    """Prunes, counts and keeps, wherever the oracle is called from: this process or a worker's.

    An oracle is asked by three calls, which stay what they are: `create_trial` gives none where a
    budget is used up; `update_trial`, after every epoch, answers "STOPPED" for a trial that is to
    end; and after each of the three the state is written. KerasTuner's own files, which are
    written in place, are not.

    Args:
        state: of the oracle.
        pruner: kx.Pruner or None.
        budget: kx.SearchBudget.
        keep_models: int, of how many best trials the weights are kept.

    Attributes:
        ended_early: dict from names of trials to why they were ended before their last epoch.
        ended_by: str, the limit that has ended the search; None while there is none.
        budget: kx.SearchBudget.
        listeners: called with a `SearchRecord` after every change.
    """

    def __init__(
        self, state: KeptState, pruner: Pruner | None, budget: SearchBudget, keep_models: int
    ):
        self.ended_early: dict[str, str] = {}
        self.ended_by: str | None = None
        self.listeners: list[Callable[[SearchRecord], None]] = []
        self._state, self._pruner, self.budget = state, pruner, budget
        self._oracle = state.oracle
        self._keep_models = keep_models
        self._seconds_before = 0.0
        self._began: float | None = None
        self._lock = threading.RLock()

    def restore(self, *, running: bool = False) -> bool:
        """Goes on from what is kept; whether there was anything.

        Args:
            running: whether workers may still be at their trials.
        """
        besides = self._state.restore(running=running)
        if besides is None:
            return False
        self._seconds_before = besides["seconds"]
        self.ended_early = besides["ended_early"]
        return True

    def put_around(self) -> None:
        """From now on the oracle follows the rules."""
        oracle = self._oracle
        oracle.save = lambda: None
        oracle._save_trial = lambda trial: None
        # A trial that fails is one point of the space; it says nothing about the others.
        oracle.max_consecutive_failed_trials = None
        oracle.create_trial = self._kept(functools.partial(self._create, oracle.create_trial))
        oracle.update_trial = self._kept(functools.partial(self._update, oracle.update_trial))
        oracle.end_trial = self._kept(functools.partial(self._end, oracle.end_trial))

    def expect(self, more: Identity) -> None:
        """What a search that goes on must have in common with this one, from now on.

        Raises:
            ValueError: if the one that this goes on with has it otherwise.
        """
        self._state.expect(more)

    def forget(self, worker: str) -> None:
        """Gives the trial of a worker that has died to the next one that asks."""
        with self._lock:
            self._oracle.tuner_ids.discard(worker)
            trial = self._oracle.ongoing_trials.pop(worker, None)
            if trial is not None:
                # Private: `create_trial` looks there first.
                self._oracle._retry_queue.append(trial.trial_id)
                self.write()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The clock runs within."""
        self._began = time.monotonic()
        try:
            yield
        finally:
            self._seconds_before, self._began = self._seconds(), None

    def write(self) -> None:
        """Keeps the state as it is."""
        with self._lock:
            besides = {
                "seconds": self._seconds(),
                "ended_early": self.ended_early,
                "ended_by": self.ended_by,
                "planned_trials": planned_trials(self._oracle),
            }
            text = self._state.write(besides)
            if self.listeners:
                record = search_record(json.loads(text))
                for tell in self.listeners:
                    tell(record)

    def _kept(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def then_written(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                given = call(*args, **kwargs)
                if getattr(given, "status", None) != IDLE:
                    self.write()
                return given

        return then_written

    def _create(self, create: Callable[[str], Trial], tuner_id: str) -> Trial:
        self.ended_by = self._limit()
        if self.ended_by is None or tuner_id in self._oracle.ongoing_trials:
            trial = create(tuner_id)
            if trial.status == STOPPED and self._oracle.ongoing_trials:
                # The trial of another worker, if that one dies.
                self._oracle.tuner_ids.add(tuner_id)
                trial.status = IDLE
            return trial
        self._oracle.tuner_ids.discard(tuner_id)
        return Trial(hyperparameters=self._oracle.get_space(), trial_id="", status=STOPPED)

    def _update(
        self,
        update: Callable[..., Trial],
        trial_id: str,
        metrics: Mapping[str, float],
        step: int = 0,
    ) -> Trial:
        self._forget_from(trial_id, step)
        trial = update(trial_id, metrics, step=step)
        reason = self._reason_to_end(trial)
        if reason is None:
            return trial
        self.ended_early[trial_id] = reason
        # Not the oracle's own one: that is running until `end_trial`.
        return Trial(hyperparameters=trial.hyperparameters, trial_id=trial_id, status=STOPPED)

    def _end(self, end: Callable[[Trial], None], trial: Trial) -> None:
        if trial.trial_id not in [x.trial_id for x in self._oracle.ongoing_trials.values()]:
            return  # a worker tells again what a chief has noted that was killed before it answered
        folder = TrialFolder.of(self._state.folder, trial.trial_id)
        if trial.status in (FAILED, INVALID):
            trial.message = trial.message or folder.error()  # the protocol leaves it out
        end(trial)
        folder.finish()
        remove_what_is_over(
            self._oracle,
            self._keep_models,
            lambda name: TrialFolder.of(self._state.folder, name),
        )

    def _forget_from(self, trial_id: str, step: int) -> None:
        """Epochs that are trained again after a kill take the place of what was told of them."""
        for history in self._oracle.trials[trial_id].metrics.metrics.values():
            # Private: KerasTuner would take the mean of both.
            for known in [known for known in history._observations if known >= step]:
                del history._observations[known]

    def _reason_to_end(self, trial: Trial) -> str | None:
        if self._pruner is not None:
            others = [x for x in self._oracle.trials.values() if x is not trial]
            curves = [curve for curve in map(self._curve, others) if curve]
            if self._pruner.prunes(self._curve(trial), curves):
                return f"pruned by {self._pruner}"
        limit = self._limit()
        return None if limit is None else f"budget of {limit} used up"

    def _curve(self, trial: Trial) -> Curve:
        """Of the objective, an epoch each, higher is better."""
        objective = self._oracle.objective
        if not trial.metrics.exists(objective.name):
            return []
        sign = 1.0 if objective.direction == "max" else -1.0
        return [sign * x.mean() for x in trial.metrics.get_history(objective.name)]

    def _limit(self) -> str | None:
        epochs = sum(len(self._curve(trial)) for trial in self._oracle.trials.values())
        return self.budget.reached(
            seconds=self._seconds(), epochs=epochs, folder=self._state.folder
        )

    def _seconds(self) -> float:
        running = 0.0 if self._began is None else time.monotonic() - self._began
        return self._seconds_before + running
