"""How trials end: with which status, what of them is of use, and which errors end more than one."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from keras_transfer.search.trials.trial_folder import TrialFolder
from keras_transfer.search.workers.connection import ConnectionLostError

COMPLETED = TrialStatus.COMPLETED
FAILED = TrialStatus.FAILED
INVALID = TrialStatus.INVALID
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def run_to_end(trial: Trial, run: Callable[[], None], folder: TrialFolder) -> None:
    """Runs a trial and notes on it how it has ended.

    Args:
        trial: the trial.
        run: trains it.
        folder: of the trial, where the traceback of a failure is kept.

    Raises:
        Exception: that of `run`, where it says something about all trials.
    """
    try:
        run()
    except Exception as error:
        of_all = isinstance(error, (keras_tuner.errors.FatalError, ConnectionLostError))
        if of_all or _is_full_disk(error):
            raise
        never_again = isinstance(error, keras_tuner.errors.FailedTrialError)
        trial.status = FAILED if never_again else INVALID
        trial.message = traceback.format_exc()
        folder.note_error(trial.message)
    else:
        trial.status = COMPLETED


def remove_what_is_over(
    oracle: keras_tuner.Oracle, keep: int, folder_of: Callable[[str], TrialFolder]
) -> None:
    """Removes checkpoints of trials that are over, and weights that are not among the best.

    Args:
        oracle: keras_tuner.Oracle.
        keep: of how many of the best trials weights are of use.
        folder_of: gives a trial's folder.
    """
    trials = oracle.get_best_trials(1_000_000)
    finished = [trial.trial_id for trial in trials if trial.status == COMPLETED]
    failed = [trial.trial_id for trial in trials if trial.status == FAILED]
    for name in (*finished, *failed):
        folder_of(name).finish()
    # Hyperband goes on with trials of brackets that are not complete.
    rounds = [x for bracket in getattr(oracle, "_brackets", ()) for x in bracket["rounds"]]
    to_go_on = {trial["id"] for of_round in rounds for trial in of_round}
    for name in {*finished[keep:], *failed} - to_go_on:
        folder_of(name).remove_weights()


def check_any_finished(oracle: keras_tuner.Oracle) -> None:
    """Raises a `RuntimeError` if there were trials and all have failed."""
    trials = oracle.get_best_trials(1)
    if trials and trials[0].status == FAILED:
        raise RuntimeError(
            "Expected at least one trial to be trained; all have failed. Their errors are in "
            f"`error.txt` of the trials' folders. Received in trial {trials[0].trial_id}: "
            f"{trials[0].message}"
        )


def _is_full_disk(error: BaseException | None) -> bool:
    """Whether there was no room or no permission to write, which no other trial would have."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False
