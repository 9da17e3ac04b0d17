"""KerasTuner's tuner, which keeps precision, features, work and disk."""

from __future__ import annotations

import functools
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, Literal

import keras
import keras_tuner
import tensorflow as tf
from keras_tuner.engine.trial import Trial

from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.search.budget import SearchBudget
from keras_transfer.search.garbage import quick_collections
from keras_transfer.search.kept_models import KeptModels
from keras_transfer.search.pruning import Pruner
from keras_transfer.search.record.watching import watched
from keras_transfer.search.rules import IDLE, STOPPED, Rules
from keras_transfer.search.state.identity import identity_of, identity_of_data
from keras_transfer.search.state.kept_state import KeptState
from keras_transfer.search.trials.outcomes import check_any_finished, run_to_end
from keras_transfer.search.trials.trial_run import TrialRun
from keras_transfer.search.tuner_checks import check_data, check_settings
from keras_transfer.search.workers.chief import is_chief, serve
from keras_transfer.search.workers.connection import keep_calling
from keras_transfer.search.workers.heartbeat import beating
from keras_transfer.search.workers.parent import end_with_parent
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
        cache: "auto" keeps features of frozen parts in the folder `features` of the search;
            `kx.FeatureCache` where you say; None runs frozen parts in every epoch.
        pruner: `kx.MedianPruner`, `kx.SuccessiveHalving`, `kx.Patience`, or None.
        budget: kx.SearchBudget, or None for what the oracle's number of trials allows.
        keep_models: int from 1. Of so many best trials the weights are kept.

    Raises:
        ValueError: if a number is out of range, the search of that name is another one, or
            `overwrite` is given to one of several processes.

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
    >>> oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=2, seed=1)
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
        check_settings(executions_per_trial, keep_models, overwrite)
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
        self._folder = pathlib.Path(self.project_dir)
        self.cache = FeatureCache(self._folder / "features") if cache == "auto" else cache
        self._state = KeptState(oracle, self._folder, identity_of(oracle))
        self.rules = Rules(self._state, pruner, budget or SearchBudget(), keep_models)
        if self._is_worker():
            keep_calling(self.oracle)
        else:
            self.rules.restore(running=is_chief())
            self.rules.put_around()

    @property
    def seed(self) -> int:
        """Of the search; a worker's own oracle may have drawn another than its chief's."""
        return self._state.seed() if self._is_worker() else self.oracle.seed

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
            ValueError: if the search that this goes on with had other data, as far as datasets of
                this package tell, or another number of epochs; or no metric is the objective.
        """
        check_data(train, more)
        self.oracle.verbose = 0  # KerasTuner's own display
        self.trained_on = train
        end_with_parent()
        of_epochs = 0 if verbose == "auto" else verbose
        if self._is_worker():
            self._run_trials(train, verbose=of_epochs, **options)
            # From now on the chief may be gone.
            self.oracle = self._state.oracle
            self.rules.restore(running=True)
            return
        self.rules.expect({"search": {"epochs": options.get("epochs")}})
        self.rules.expect(identity_of_data("training data", train))
        self.rules.expect(identity_of_data("validation data", options.get("validation_data")))
        with self.rules.running(), watched(self.rules, verbose, options):
            if is_chief():
                serve(self.oracle, self._folder, self.rules.forget)
            else:
                self._run_trials(train, verbose=of_epochs, **options)
        check_any_finished(self.oracle)

    def run_trial(self, trial: Trial, train: tf.data.Dataset, **options: Any) -> None:
        """Trains a trial, as often as `executions_per_trial`; the oracle is told of every epoch."""
        TrialRun(self, trial, train, options).run()

    def on_trial_end(self, trial: Trial) -> None:
        """Tells the oracle, wherever it is; what nobody will go on from is removed there."""
        self.oracle.end_trial(trial)

    def save(self) -> None:
        """Keeps the state, which happens by itself after every change."""
        if not self._is_worker():
            self.rules.write()

    def reload(self) -> None:
        """Goes back to the state that is kept."""
        if not self._is_worker():
            self.rules.restore(running=is_chief())

    def _run_trials(self, train: tf.data.Dataset, **options: Any) -> None:
        with beating(self._folder, self.tuner_id), quick_collections():
            self.on_search_begin()
            while (trial := self._next_trial()).status != STOPPED:
                self.on_trial_begin(trial)
                run = functools.partial(self.run_trial, trial, train, **options)
                run_to_end(trial, run, self.trial_folder(trial.trial_id))
                self.on_trial_end(trial)
            self.on_search_end()

    def _next_trial(self) -> Trial:
        while (trial := self.oracle.create_trial(self.tuner_id)).status == IDLE:
            time.sleep(_WAIT)
        return trial
