"""Which models a search ends with, decided before the test data is looked at."""

from __future__ import annotations

import pathlib
import shutil
import warnings
from typing import TYPE_CHECKING, Any

from keras_tuner.engine.trial import Trial

from keras_transfer._atomic import publish, staging_folder
from keras_transfer.data.splits import Splits
from keras_transfer.search.trials.training_record import fingerprints, read_json, write_json
from keras_transfer.search.trials.trial_folder import TrialFolder

if TYPE_CHECKING:
    from keras_transfer.search.transfer_tuner import TransferTuner

_CHOICE = "choice.json"
# In the folder of a model: what was measured on the test data.
TEST = "test.json"


def choose(
    tuner: TransferTuner, data: Splits, folder: pathlib.Path, num_models: int, *, retrain: bool
) -> dict[str, Any]:
    """The models that are looked at; once the test has seen one of them, these and no others.

    Args:
        tuner: kx.TransferTuner that has searched.
        data: kx.Splits.
        folder: of the choice, with a folder for each model by its rank.
        num_models: int from 1.
        retrain: whether they are to be trained again.

    Raises:
        ValueError: if no trial was finished.
        FileNotFoundError: if weights were not kept.
    """
    trials = tuner.finished_trials()[:num_models]
    if not trials:
        raise ValueError(
            "Expected a search with a trial that was finished: call `search` before. "
            f"Received: none in {folder.parent}."
        )
    of_test = fingerprints({"test": data.test})
    wanted = {"models": [_told(tuner, trial, of_test, retrain=retrain) for trial in trials]}
    kept = read_json(folder / _CHOICE) if folder.is_dir() else None
    if kept == wanted:
        return kept
    if kept is not None and any(folder.glob(f"*/{TEST}")):
        ids = ", ".join(model["trial"] for model in kept["models"])
        warnings.warn(
            f"The test data was looked at for trial {ids} of this search. Whoever chooses again "
            "after that fits the test: what was measured then is given, for those models. For "
            "another choice take test data that nothing was chosen by, and another "
            f"`project_name` or a search without {folder}.",
            stacklevel=3,
        )
        return kept
    shutil.rmtree(folder, ignore_errors=True)
    with staging_folder(folder.parent) as staging:
        write_json(staging / _CHOICE, wanted)
        for number, trial in enumerate(trials, start=1):
            (staging / str(number)).mkdir()
            if not retrain:
                _copy_weights(tuner, trial.trial_id, TrialFolder(staging / str(number)))
        publish(staging, folder)
    return read_json(folder / _CHOICE)


def _told(
    tuner: TransferTuner, trial: Trial, of_test: dict[str, str], *, retrain: bool
) -> dict[str, Any]:
    """What `best.json` says, but for what is measured on the test data."""
    record = read_json(tuner.trial_folder(trial.trial_id).record)
    objective = {"name": tuner.objective.name, "direction": tuner.objective.direction}
    return {
        "trial": trial.trial_id,
        "retrained": retrain,
        **record,
        "data": record["data"] | of_test,
        "scores": {"objective": objective | {"value": float(trial.score)}},
    }


def _copy_weights(tuner: TransferTuner, trial_id: str, folder: TrialFolder) -> None:
    """The search may go on and remove its own."""
    of_trial = tuner.trial_folder(trial_id)
    tuner.check_kept(trial_id)
    for name in ("weights", "shared_weights", "build_config"):
        shutil.copyfile(getattr(of_trial, name), getattr(folder, name))
