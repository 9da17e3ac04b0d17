"""KerasTuner's tuner, whose models have the precision asked for and are found again."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import tensorflow as tf
from keras_tuner.engine.trial import Trial

from keras_transfer.models.notes import note_data
from keras_transfer.search.trials.outcomes import COMPLETED
from keras_transfer.search.trials.trial_folder import TrialFolder
from keras_transfer.training.compute_strategy import ComputeStrategy


class KeptModels(keras_tuner.Tuner):
    """What builds models in a search and loads those that it kept.

    Attributes:
        oracle: keras_tuner.Oracle, or a worker's connection to one.
        compute: kx.ComputeStrategy, of every model.
        keep_models: int, of how many best trials the weights are kept.
        trained_on: tf.data.Dataset, what `search` was called with; None before.
    """

    oracle: Any
    compute: ComputeStrategy
    keep_models: int
    trained_on: tf.data.Dataset | None = None

    def load_model(self, trial: Trial) -> keras.Model:
        """The model of a trial as it was after its best epoch; of an adaptation, the adapted one.

        Raises:
            FileNotFoundError: if its weights are not among those that were kept.
        """
        folder = self.trial_folder(trial.trial_id)
        self.check_kept(trial.trial_id)
        with self.compute.precision():
            model = folder.load_into(self._try_build(trial.hyperparameters))
        if self.trained_on is not None:
            note_data(model, self.trained_on)  # for `kx.evaluate` and `kx.export`
        return model

    def check_kept(self, trial_id: str) -> None:
        """Raises a `FileNotFoundError` unless the weights of a trial were kept."""
        if not self.trial_folder(trial_id).weights.is_file():
            raise FileNotFoundError(
                f"Expected a trial whose weights were kept, of the best {self.keep_models}: search "
                f"with a larger `keep_models`. Received: trial {trial_id}."
            )

    def get_best_models(self, num_models: int = 1) -> list[keras.Model]:
        """Models of the best trials that were finished, the best first.

        Args:
            num_models: int from 1, up to `keep_models`.

        Raises:
            FileNotFoundError: if weights of so many were not kept.
        """
        return [self.load_model(trial) for trial in self.finished_trials()[:num_models]]

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """Of the best trials that were finished, the best first.

        Args:
            num_trials: int from 1.
        """
        return [trial.hyperparameters for trial in self.finished_trials()[:num_trials]]

    def finished_trials(self) -> list[Trial]:
        """Those with a score, the best first; KerasTuner would add failed ones."""
        trials = self.oracle.get_best_trials(1_000_000)
        return [trial for trial in trials if trial.status == COMPLETED]

    def callbacks_of(
        self, trial: Trial, callbacks: Sequence[keras.callbacks.Callback], execution: int
    ) -> list[keras.callbacks.Callback]:
        """Copies of the callbacks for one training, TensorBoard's in a folder of its own."""
        copies = self._deepcopy_callbacks(list(callbacks))
        for copy in copies:
            if isinstance(copy, keras.callbacks.TensorBoard):
                copy.log_dir = self._get_tensorboard_dir(copy.log_dir, trial.trial_id, execution)
        return copies

    @property
    def is_worker(self) -> bool:
        """Whether another process, the chief, knows what this search has found."""
        return self._is_worker()

    def trial_folder(self, trial_id: str) -> TrialFolder:
        """Where the files of a trial lie; it is made."""
        return TrialFolder(pathlib.Path(self.get_trial_dir(trial_id)))

    def _populate_initial_space(self) -> None:
        with self.compute.scope():
            super()._populate_initial_space()

    def _build_hypermodel(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        # Within, as KerasTuner has just called `clear_session`, which forgets the policy.
        with self.compute.precision():
            model = super()._build_hypermodel(hp)
            before = hp.values.get("tuner/trial_id")  # Hyperband goes on with a trial
            if before is not None:
                model.set_weights(self.trial_folder(before).load_weights())
        return model
