"""The end of a search: its best models trained on all data, measured once, exported."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_transfer.data.splits import Splits
from keras_transfer.evaluation.evaluate import evaluate
from keras_transfer.search.best.best_choice import TEST, choose
from keras_transfer.search.best.best_models_table import print_table
from keras_transfer.search.best.retraining import check_data
from keras_transfer.search.best.training_again import load, train_again
from keras_transfer.search.trials.training_record import TrainingRecord, read_json, write_json
from keras_transfer.search.trials.trial_folder import TrialFolder
from keras_transfer.serving.export import METADATA, export
from keras_transfer.serving.versions.numbers import versions
from keras_transfer.training.compute_strategy import ComputeStrategy

if TYPE_CHECKING:
    from keras_transfer.search.transfer_tuner import TransferTuner


@dataclasses.dataclass(frozen=True)
class BestModel:
    """One of the best models of a search, exported.

    Attributes:
        trial_id: str, the trial that it is of.
        version: path of the version for TF Serving.
        record: path of the `best.json` that reproduces it.
        score: float, the objective of the search, on validation data.
        test: dict of what `kx.evaluate` measured on the test data; None where there is none.
        hyperparameters: dict from name to value.
    """

    trial_id: str
    version: pathlib.Path
    record: pathlib.Path
    score: float
    test: dict[str, Any] | None
    hyperparameters: dict[str, Any]


def export_best_models(
    tuner: TransferTuner,
    data: Splits,
    base_path: str | os.PathLike[str],
    num_models: int = 1,
    *,
    retrain: bool = False,
    samples: Sequence[str | os.PathLike[str]] = (),
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> list[BestModel]:
    """Ends a search: the best models are retrained if you ask for it, tested, and exported.

    The order is that of the objective on validation data, never that of the test. The test data
    is looked at once in a search: a later call that would choose other models (after more trials,
    with another number or with `retrain` changed) warns and gives what was measured, kept in the
    folder `best` of the search. A call that was killed goes on when it is made again.

    `best.json` in the search's folder (`best-2.json` and so on for those behind) says all that it
    takes for `kx.retrain` to train the model anew; the exported version has it in
    `assets.extra/keras_transfer_metadata.json`. In a worker of a search nothing happens; its chief
    does it.

    Args:
        tuner: kx.TransferTuner that has searched.
        data: kx.Splits, with the `train` and `validation` of the search. A test needs `data.test`.
        base_path: the model's folder for `kx.export`. Further models go beside it, to
            `base_path-2`, `base_path-3`: a server takes the highest version in a folder.
        num_models: int from 1.
        retrain: whether to train anew on training and validation data together: the same
            hyper-parameters and seed, stopped after the epoch that was best in the search.
        samples: see `kx.export`.
        callbacks: those that `search` was given, if they change the training; for `retrain`.
        verbose: as in `keras.Model.fit`; 0 leaves out the table, too.

    Returns:
        A list of `kx.BestModel`, the best first.

    Raises:
        ValueError: if no trial was finished, or the data is not that of the search.
        FileNotFoundError: if the weights of so many trials were not kept.
        VerificationError: if an exported version does not do what its model does.

    Example:

    >>> import keras, keras_tuner, numpy as np, tempfile
    >>> import keras_transfer as kx
    >>> x = np.random.default_rng(0).integers(0, 255, [12, 4, 4, 3], "uint8")
    >>> data = kx.arrays(x, [0, 1] * 6, validation_split=0.4, test_split=0.2)
    >>> def build(hp):
    ...     inputs = keras.Input([4, 4, 3])
    ...     outputs = keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(inputs))
    ...     model = keras.Model(inputs, outputs)
    ...     loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ...     model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-4, 1e-3)), loss)
    ...     return model
    >>> oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=1, seed=1)
    >>> folder = tempfile.mkdtemp()
    >>> tuner = kx.TransferTuner(build, oracle=oracle, directory=folder)
    >>> tuner.search(data.train, validation_data=data.validation, epochs=1, verbose=0)
    >>> [best] = kx.export_best_models(tuner, data, f"{folder}/models", retrain=True, verbose=0)
    >>> best.version.name, best.test["num_examples"]
    ('1', 2)
    """
    if num_models < 1:
        raise ValueError(f"Expected `num_models` of at least 1. Received: {num_models}.")
    if tuner.is_worker:
        return []
    folder = pathlib.Path(tuner.project_dir) / "best"
    choice = choose(tuner, data, folder, num_models, retrain=retrain)
    found = []
    for number, told in enumerate(choice["models"], start=1):
        one = _Model(tuner, data, TrialFolder(folder / str(number)), told)
        check_data(one.training, data)
        one.train(callbacks, verbose)
        test = one.measure(verbose)
        name = "" if number == 1 else f"-{number}"
        record = folder.with_name(f"best{name}.json")
        write_json(record, told | {"scores": told["scores"] | {"test": test}})
        version = one.export(pathlib.Path(f"{os.fspath(base_path)}{name}"), record, samples)
        score = told["scores"]["objective"]["value"]
        values = one.training.hyperparameters
        found.append(BestModel(told["trial"], version, record, score, test, values))
    if verbose != 0:
        print_table(found, tuner.objective.name)
    return found


@dataclasses.dataclass(frozen=True)
class _Model:
    """One of those that were chosen, and what was done with it."""

    tuner: TransferTuner
    data: Splits
    folder: TrialFolder
    told: dict[str, Any]

    @property
    def training(self) -> TrainingRecord:
        return TrainingRecord.from_dict(self.told)

    def train(self, callbacks: Sequence[keras.callbacks.Callback], verbose: str | int) -> None:
        """On all data, where that was asked for and is not done."""
        if self.told["retrained"]:
            train_again(
                self.training,
                self.tuner.hypermodel,
                self.data,
                self.folder,
                all_data=True,
                compute=self.tuner.compute,
                callbacks=callbacks,
                verbose=verbose,
            )

    def measure(self, verbose: str | int) -> dict[str, Any] | None:
        """What was measured on the test data, or is now, for the only time."""
        path = self.folder.path / TEST
        if not path.is_file():
            if self.data.test is None or "test" not in self.told["data"]:
                return None
            report = evaluate(
                self._model(), self.data.test, class_names=self._names(), verbose=verbose != 0
            )
            write_json(path, report.to_dict())
        return read_json(path)

    def export(
        self, base_path: pathlib.Path, record: pathlib.Path, samples: Sequence[Any]
    ) -> pathlib.Path:
        """The version with this model that is there, or a new one."""
        metadata = read_json(record)
        for number in reversed(versions(base_path)):
            path = base_path / str(number)
            if (path / METADATA).is_file() and read_json(path / METADATA) == metadata:
                return path
        return export(
            self._model(),
            base_path,
            class_names=self._names(),
            resize=self.data.resize,
            preprocessor=self.data.preprocessor,
            samples=samples,
            metadata=metadata,
            evaluation=metadata["scores"]["test"],
        )

    def _model(self) -> keras.Model:
        # On one device, whatever it was trained on.
        alone = ComputeStrategy(None, self.training.precision)
        return load(self.training, self.tuner.hypermodel, self.folder, alone)

    def _names(self) -> list[str] | None:
        return self.data.class_names or None
