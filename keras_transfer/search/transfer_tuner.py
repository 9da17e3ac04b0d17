"""KerasTuner's tuner, which keeps precision, features, work and disk."""

from __future__ import annotations

import os
import pathlib
import time
import traceback
from collections.abc import Callable
from typing import Any, Literal

import keras
import keras_tuner
import tensorflow as tf
from keras_tuner.engine.trial import Trial

from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.search.budget import SearchBudget
from keras_transfer.search.chief import is_chief, serve
from keras_transfer.search.heartbeat import beating
from keras_transfer.search.identity import identity_of
from keras_transfer.search.kept_models import KeptModels
from keras_transfer.search.kept_state import KeptState
from keras_transfer.search.outcomes import (
    COMPLETED,
    FAILED,
    INVALID,
    check_any_finished,
    is_full_disk,
    trials_without_use,
)
from keras_transfer.search.pruning import Pruner
from keras_transfer.search.rules import IDLE, STOPPED, Rules
from keras_transfer.search.trial_run import TrialRun
from keras_transfer.search.watching import watched
from keras_transfer.training.compute_strategy import ComputeStrategy, compute_strategy

_WAIT = 0.2  # seconds between questions to an oracle that waits for other trials


class TransferTuner(KeptModels):
    """Searches hyper-parameters; KerasTuner's interface, for trainings that are expensive.

    Any oracle of KerasTuner decides what is tried: random, Bayesian, Hyperband, grid. Besides,

    - every layer of every trial, and of every loaded model, has the precision asked for, which
      KerasTuner 1.4.8 forgets at the first trial;
    - the frozen part of a model runs once for all trials that share it;
    - whenever the process is killed, the same command goes on: interrupted trials after their last
      epoch, finished ones never again;
    - a trial that does not fit into memory is tried again in batches half as large, one that
      fails is kept with its traceback, and neither ends the search;
    - the weights of the best trials alone are kept.

    The model of a trial trains as it was compiled, on a `tf.data.Dataset`, by `kx.fine_tune`; a
    `kx.HyperModel` with a `fit` of its own is asked to do it, and goes on after a kill if it takes
    `checkpoints`, a folder, and hands it to `kx.fine_tune`.

    Args:
        hypermodel: `kx.TransferHyperModel`, any keras_tuner.HyperModel, or a function from
            hyper-parameters to a compiled keras.Model.
        oracle: keras_tuner.Oracle.
        directory: folder of searches. Defaults to where the process runs.
        project_name: str, the name of this search in it.
        overwrite: whether to remove a search of that name and to begin anew.
        executions_per_trial: int from 1. Trainings of each trial, from different seeds; their
            mean counts. Trials are pruned where it is 1 alone.
        compute: "auto", or what `kx.compute_strategy` gives: devices and precision.
        cache: "auto" keeps features of frozen parts in the search's own folder until it ends;
            `kx.FeatureCache` where you say; None runs frozen parts in every epoch.
        pruner: `kx.MedianPruner`, `kx.SuccessiveHalving`, `kx.Patience`, or None.
        budget: kx.SearchBudget, or None for what the oracle's number of trials allows.
        keep_models: int from 1. Of so many best trials the weights are kept.

    Raises:
        ValueError: if a number is out of range, or the search of that name is another one.

    Example:

    >>> import keras, keras_tuner, numpy as np, tempfile
    >>> import keras_transfer as kx
    >>> data = kx.arrays(np.zeros([8, 4, 4, 3], "uint8"), [0, 1] * 4, validation_split=0.25)
    >>> def build(hp):
    ...     model = keras.Sequential([keras.Input([4, 4, 3]), keras.layers.Flatten()])
    ...     model.add(keras.layers.Dense(2))
    ...     loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ...     model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1)), loss)
    ...     return model
    >>> oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=2, seed=0)
    >>> tuner = kx.TransferTuner(build, oracle=oracle, directory=tempfile.mkdtemp())
    >>> tuner.search(data.train, validation_data=data.validation, epochs=1, verbose=0)
    >>> len(tuner.get_best_models(2))
    2
    """

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel | Callable[..., keras.Model],
        *,
        oracle: keras_tuner.Oracle,
        directory: str | os.PathLike[str] | None = None,
        project_name: str = "search",
        overwrite: bool = False,
        executions_per_trial: int = 1,
        compute: ComputeStrategy | Literal["auto"] = "auto",
        cache: FeatureCache | Literal["auto"] | None = "auto",
        pruner: Pruner | None = None,
        budget: SearchBudget | None = None,
        keep_models: int = 3,
    ):
        _check_counts(executions_per_trial, keep_models)
        # Before KerasTuner builds models to learn the space, in their precision.
        self.compute = compute_strategy() if compute == "auto" else compute
        super().__init__(
            oracle,
            hypermodel,
            distribution_strategy=self.compute.distribution,
            directory=os.fspath(directory) if directory is not None else None,
            project_name=project_name,
            overwrite=overwrite,
            executions_per_trial=executions_per_trial,
        )
        self.keep_models = keep_models
        self.objective = oracle.objective
        folder = pathlib.Path(self.project_dir)
        self.cache = FeatureCache(folder / "features") if cache == "auto" else cache
        state = KeptState(oracle, folder, identity_of(oracle))
        self.rules = Rules(state, pruner, budget or SearchBudget())
        if not self._is_worker():
            self.rules.restore(running=is_chief())
            self.rules.put_around()
        self.seed = oracle.seed

    def search(
        self, train: tf.data.Dataset, *more: Any, verbose: str | int = "auto", **options: Any
    ) -> None:
        """Runs trials until the oracle has no more, or a budget is used up.

        Args:
            train: tf.data.Dataset of batches, such as `kx.image_folder(...).train`. Those of this
                package come in the same order after a kill.
            more: nothing; arrays are to be made a dataset.
            verbose: "auto" shows trials, the best so far and the time left; 1 and 2 what
                `keras.Model.fit` shows of each epoch besides; 0 nothing at all.
            options: what `fit` gets besides: `validation_data`, `epochs`, `callbacks`. A
                keras.callbacks.TensorBoard gets a folder a trial, and the HParams tab.

        Raises:
            RuntimeError: if no trial at all could be trained.
            TypeError: if `train` is no dataset.
        """
        if more or not isinstance(train, tf.data.Dataset):
            raise TypeError(
                "Expected a tf.data.Dataset of batches to train on, such as "
                f"kx.arrays(x, y, validation_split=0.2).train. Received: {type(train).__name__}"
                f"{', ' if more else ''}{', '.join(type(x).__name__ for x in more)}."
            )
        self.oracle.verbose = 0  # KerasTuner's own display
        folder = pathlib.Path(self.project_dir)
        if is_chief():
            with self.rules.running(), watched(self.rules, verbose, options):
                serve(self.oracle, folder, self.rules.hand_back)
            return
        of_epochs = 0 if verbose == "auto" else verbose
        with (
            self.rules.running(),
            beating(folder, self.tuner_id),
            watched(self.rules, verbose, options),
        ):
            self.on_search_begin()
            while (trial := self._next_trial()).status != STOPPED:
                self.on_trial_begin(trial)
                self._run(trial, train, verbose=of_epochs, **options)
                self.on_trial_end(trial)
            self.on_search_end()
        if not self._is_worker():
            check_any_finished(self.oracle)

    def run_trial(self, trial: Trial, train: tf.data.Dataset, **options: Any) -> None:
        """Trains a trial, as often as `executions_per_trial`; the oracle is told of every epoch."""
        TrialRun(self, trial, train, options).run()

    def on_trial_end(self, trial: Trial) -> None:
        """Tells the oracle; then what nobody will go on from is removed."""
        self.oracle.end_trial(trial)
        self.trial_folder(trial.trial_id).finish()
        for other in trials_without_use(self.oracle, self.keep_models):
            self.trial_folder(other).remove_weights()

    def save(self) -> None:
        """Keeps the state, which happens by itself after every change."""
        if not self._is_worker():
            self.rules.write()

    def reload(self) -> None:
        """Goes back to the state that is kept."""
        if not self._is_worker():
            self.rules.restore(running=is_chief())

    def _next_trial(self) -> Trial:
        while (trial := self.oracle.create_trial(self.tuner_id)).status == IDLE:
            time.sleep(_WAIT)
        return trial

    def _run(self, trial: Trial, train: tf.data.Dataset, **options: Any) -> None:
        try:
            self.run_trial(trial, train, **options)
        except Exception as error:
            if isinstance(error, keras_tuner.errors.FatalError) or is_full_disk(error):
                raise
            never_again = isinstance(error, keras_tuner.errors.FailedTrialError)
            trial.status = FAILED if never_again else INVALID
            trial.message = traceback.format_exc()
            self.trial_folder(trial.trial_id).note_error(trial.message)
        else:
            trial.status = COMPLETED


def _check_counts(executions_per_trial: int, keep_models: int) -> None:
    if executions_per_trial < 1 or keep_models < 1:
        raise ValueError(
            "Expected `executions_per_trial` and `keep_models` of at least 1. Received: "
            f"executions_per_trial={executions_per_trial}, keep_models={keep_models}."
        )
