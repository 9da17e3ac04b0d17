"""A search of seconds for several workers: folder, trials, epochs, and what is wrong with it."""

from __future__ import annotations

import os
import sys
import time

import keras
import keras_tuner
import numpy as np

import keras_transfer as kx


class Tuner(kx.TransferTuner):
    """Knows which trial it runs."""

    running = ""

    def on_trial_begin(self, trial):
        self.running = trial.trial_id


class Tell(keras.callbacks.Callback):
    """Writes down who has trained which epoch of which trial."""

    def __init__(self, folder, of):
        super().__init__()
        self.folder, self.of = folder, of

    def __deepcopy__(self, memo):
        return Tell(self.folder, self.of)

    def on_epoch_end(self, epoch, logs=None):
        time.sleep(0.1)
        who = os.environ.get("KERASTUNER_TUNER_ID", "alone")
        note(self.folder, "epochs.txt", f"{who} {self.of.running} {epoch}")


def note(folder, name, line):
    """Adds a line to a file that all processes write to."""
    with open(os.path.join(folder, name), "a") as file:
        file.write(f"{line}\n")


def search(folder, trials, epochs, wrong):
    """Searches, then tells of the best models."""
    random = np.random.default_rng(0)
    labels = np.arange(32) % 2
    pixels = random.integers(0, 200, (32, 2, 2, 3)) + 50 * labels[:, None, None, None]
    data = kx.arrays(pixels.astype("uint8"), labels, validation_split=0.25, batch_size=8, seed=0)

    def build(hp):
        rate = hp.Float("rate", 1e-3, 1.0, sampling="log")
        if wrong == "trial" and rate > 0.05:
            raise ZeroDivisionError("of this test")
        model = keras.Sequential([keras.Input([2, 2, 3]), keras.layers.Rescaling(1 / 255)])
        model.add(keras.layers.Flatten())
        model.add(keras.layers.Dense(2, name="logits"))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(rate), loss)
        return model

    objective = keras_tuner.Objective("val_f1" if wrong == "objective" else "val_loss", "min")
    oracle = keras_tuner.oracles.RandomSearchOracle(objective, max_trials=trials, seed=1)
    who = os.environ.get("KERASTUNER_TUNER_ID", "alone")
    note(folder, "processes.txt", f"{who} {os.getpid()}")
    tuner = Tuner(build, oracle=oracle, directory=folder, keep_models=2)
    options = {"validation_data": data.validation, "epochs": epochs, "verbose": 0}
    tuner.search(data.train, callbacks=[Tell(folder, tuner)], **options)
    scores = [float(trial.score) for trial in tuner.finished_trials()[:2]]
    models = tuner.get_best_models(2)
    if who == "worker0":
        losses = [model.evaluate(data.validation, verbose=0) for model in models]
        np.testing.assert_allclose(losses, scores, rtol=1e-5)
    note(folder, "best.txt", f"{who} {scores}")


if __name__ == "__main__":
    search(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
