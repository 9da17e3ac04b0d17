"""A process of `benchmarks.search_kills`: a search that tells a log of all it does."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import sys
import traceback
from typing import Any

import keras
import keras_tuner
from sklearn.datasets import load_digits

import keras_transfer as kx

OBJECTIVE = keras_tuner.Objective("val_accuracy", "max")


class Log:
    """Lines of JSON that are there as soon as they are written."""

    def __init__(self, path: pathlib.Path):
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def __deepcopy__(self, memo: Any) -> Log:
        """The same file."""
        return self

    def write(self, **line: Any) -> None:
        """Appends one."""
        os.write(self._file, (json.dumps(line) + "\n").encode())


class LogEpochs(keras.callbacks.Callback):
    """Tells of each epoch of the trial whose model was built last."""

    def __init__(self, log: Log, current: dict[str, str]):
        super().__init__()
        self.log, self.current = log, current

    def __deepcopy__(self, memo: Any) -> LogEpochs:
        """With the same trial."""
        return LogEpochs(self.log, self.current)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """One more."""
        self.log.write(event="epoch", trial=self.current["trial"], epoch=epoch)


def build(hp: keras_tuner.HyperParameters, current: dict[str, str]) -> keras.Model:
    """A small network, compiled."""
    width = hp.Choice("width", [16, 32, 64])
    rate = hp.Float("rate", 1e-4, 1e-2, sampling="log")
    dropout = hp.Float("dropout", 0.0, 0.5)
    current["trial"] = f"{width}-{rate:.8f}-{dropout:.8f}"
    layers = [keras.Input([8, 8, 3]), keras.layers.Flatten(), keras.layers.Rescaling(1 / 16)]
    layers += [keras.layers.Dense(width, "relu"), keras.layers.Dropout(dropout)]
    model = keras.Sequential([*layers, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def live(case: str, folder: pathlib.Path, seed: int, trials: int, epochs: int) -> None:
    """One process: makes the tuner, goes on with the search, tells of the best."""
    os.dup2(os.open(folder / "output.txt", os.O_CREAT | os.O_APPEND | os.O_WRONLY), 1)
    log, current = Log(folder / "log.jsonl"), {"trial": ""}
    log.write(event="life")
    try:
        pictures, labels = load_digits(return_X_y=True)
        data = kx.arrays(
            pictures.reshape(-1, 8, 8, 1).astype("uint8"), labels, validation_split=0.2, seed=0
        )
        keras.utils.set_random_seed(seed)
        oracle = keras_tuner.oracles.RandomSearchOracle(OBJECTIVE, max_trials=trials, seed=seed)
        made = functools.partial(build, current=current)
        where = {"directory": str(folder), "project_name": "search"}
        options: dict[str, Any] = {"epochs": epochs, "verbose": 0}
        if case == "ours":
            tuner: Any = kx.TransferTuner(made, oracle=oracle, **where)
        else:
            tuner = keras_tuner.Tuner(oracle, made, **where)
            options["shuffle"] = False  # Keras warns that it does not shuffle a dataset
        ended = tuner.on_trial_end

        def on_trial_end(trial: Any) -> None:
            ended(trial)
            if trial.status == "COMPLETED":
                log.write(event="finished", trial=_key(trial))

        tuner.on_trial_end = on_trial_end
        tuner.search(
            data.train,
            validation_data=data.validation,
            callbacks=[LogEpochs(log, current)],
            **options,
        )
        known = [_key(x) for x in oracle.trials.values() if x.status == "COMPLETED"]
        [best] = oracle.get_best_trials(1)
        log.write(event="over", best=_key(best), score=best.score, known=known)
    except Exception:
        log.write(event="error", text=traceback.format_exc())
        sys.exit(1)


def _key(trial: Any) -> str:
    values = trial.hyperparameters.values
    return f"{values['width']}-{values['rate']:.8f}-{values['dropout']:.8f}"
