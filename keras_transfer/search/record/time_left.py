"""How long a search will still take, from the trials that have ended."""

from __future__ import annotations

from keras_transfer.search.budget import SearchBudget
from keras_transfer.search.record.records import SearchRecord


def seconds_left(search: SearchRecord, budget: SearchBudget) -> float | None:
    """An estimate: as many epochs a trial and as much time an epoch as so far.

    Pruned trials and those of other workers are in both. None while no trial has ended, or nobody
    knows how many there will be.

    Args:
        search: what is known.
        budget: kx.SearchBudget, which may end it before.
    """
    limits = [] if budget.hours is None else [budget.hours * 3600 - search.seconds]
    trained = sum(map(search.epochs, search.trials))
    ended = [trial for trial in search.trials if trial.status not in ("running", "interrupted")]
    if ended and trained:
        an_epoch = search.seconds / trained
        if budget.epochs is not None:
            limits.append((budget.epochs - trained) * an_epoch)
        if search.planned_trials is not None:
            a_trial = sum(map(search.epochs, ended)) / len(ended)
            at_work = sum(search.epochs(trial) for trial in search.trials if trial not in ended)
            epochs = a_trial * (search.planned_trials - len(ended)) - at_work
            limits.append(max(0.0, epochs) * an_epoch)
    return max(0.0, min(limits)) if limits else None


def duration_text(seconds: float) -> str:
    """Such as "40 s", "12 min", "3 h 20 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
