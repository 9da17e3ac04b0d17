"""How trials end: which weights are of use afterwards, and which errors end more than a trial."""

from __future__ import annotations

import errno

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

COMPLETED = TrialStatus.COMPLETED
FAILED = TrialStatus.FAILED
INVALID = TrialStatus.INVALID
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def trials_without_use(oracle: keras_tuner.Oracle, keep: int) -> list[str]:
    """Names of trials that are over and neither among the best nor to go on.

    Args:
        oracle: keras_tuner.Oracle, or a worker's connection to one.
        keep: how many of the best are of use.
    """
    trials = oracle.get_best_trials(1_000_000)
    finished = [trial.trial_id for trial in trials if trial.status == COMPLETED]
    failed = [trial.trial_id for trial in trials if trial.status == FAILED]
    # Hyperband goes on with trials of brackets that are not complete.
    rounds = [x for bracket in getattr(oracle, "_brackets", ()) for x in bracket["rounds"]]
    to_go_on = {trial["id"] for of_round in rounds for trial in of_round}
    return [name for name in (*finished[keep:], *failed) if name not in to_go_on]


def check_any_finished(oracle: keras_tuner.Oracle) -> None:
    """Raises a `RuntimeError` if there were trials and all have failed."""
    trials = oracle.get_best_trials(1)
    if trials and trials[0].status == FAILED:
        raise RuntimeError(
            "Expected at least one trial to be trained; all have failed. Their errors are in "
            f"`error.txt` of the trials' folders. Received in trial {trials[0].trial_id}: "
            f"{trials[0].message}"
        )


def is_full_disk(error: BaseException | None) -> bool:
    """Whether there was no room or no permission to write, which no other trial would have."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False
