"""`kx.retrain`: the best model of a search trained anew from what it has left."""

from __future__ import annotations

import os
import pathlib
import tempfile
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_tuner
from keras_tuner.src.engine.hypermodel import get_hypermodel

from keras_transfer.data.splits import Splits
from keras_transfer.search.best.training_again import load, train_again
from keras_transfer.search.trials.training_record import (
    TrainingRecord,
    fingerprints,
    read_json,
    versions,
)
from keras_transfer.search.trials.trial_folder import TrialFolder
from keras_transfer.training.compute_strategy import ComputeStrategy, compute_strategy


def retrain(
    best_json: str | os.PathLike[str],
    hypermodel: keras_tuner.HyperModel | Callable[..., keras.Model],
    data: Splits,
    *,
    checkpoints: str | os.PathLike[str] | None = None,
    compute: ComputeStrategy | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> keras.Model:
    """Trains the best model of a search anew, from the `best.json` that it has left.

    On the same machine with the same versions the weights are the same, bit for bit, with data of
    this package on a processor; data that was not made by this package comes in whatever order it
    does, and a GPU adds up in whatever order it does.

    Args:
        best_json: path of `best.json` in the folder of a search, or of
            `assets.extra/keras_transfer_metadata.json` in an exported version.
        hypermodel: what was searched over: a keras_tuner.HyperModel, or a function from
            hyper-parameters to a compiled keras.Model.
        data: kx.Splits, whose `train` and `validation` were searched with.
        checkpoints: folder for the state after every epoch, to go on from after a kill; None for
            none.
        compute: what `kx.compute_strategy` gives. Defaults to the precision of the search on what
            the machine has.
        callbacks: those that `search` was given, if they change the training.
        verbose: as in `keras.Model.fit`.

    Returns:
        keras.Model, as `hypermodel` builds it, with the weights; of an adaptation, the adapted one.

    Raises:
        ValueError: if the data is not that of the search, or the file no such record.

    Example:

    >>> import keras, keras_tuner, numpy as np, tempfile
    >>> import keras_transfer as kx
    >>> x = np.random.default_rng(0).integers(0, 255, [8, 4, 4, 3], "uint8")
    >>> data = kx.arrays(x, [0, 1] * 4, validation_split=0.25)
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
    >>> [best] = kx.export_best_models(tuner, data, f"{folder}/models", verbose=0)
    >>> model = kx.retrain(f"{folder}/search/best.json", build, data, verbose=0)
    >>> kept = tuner.get_best_models()[0]
    >>> all((a == b).all() for a, b in zip(model.get_weights(), kept.get_weights()))
    True
    """
    told = read_json(pathlib.Path(best_json))
    record = TrainingRecord.from_dict(told)
    check_data(record, data)
    _warn_of_versions(record)
    if compute is None:
        precision: Any = record.precision
        compute = compute_strategy(precision=precision)
    space = get_hypermodel(hypermodel)
    with tempfile.TemporaryDirectory() as temporary:
        folder = TrialFolder(pathlib.Path(checkpoints or temporary))
        train_again(
            record,
            space,
            data,
            folder,
            all_data=told["retrained"],
            compute=compute,
            callbacks=callbacks,
            verbose=verbose,
        )
        return load(record, space, folder, compute)


def check_data(record: TrainingRecord, data: Splits) -> None:
    """Raises a `ValueError` unless the data is that of the search."""
    found = fingerprints({"train": data.train, "validation": data.validation})
    used = [part for part in ("train", "validation") if part in record.data]
    other = [part for part in used if record.data[part] != found.get(part)]
    if other:
        raise ValueError(
            "Expected the data of the search, made with the same arguments, seed and split: "
            "another split may have examples in its test data that models were trained on. "
            f"Received: other {' and '.join(other)} data."
        )


def _warn_of_versions(record: TrainingRecord) -> None:
    now = versions()
    other = {k: (v, now.get(k)) for k, v in record.versions.items() if v != now.get(k)}
    if other:
        told = ", ".join(f"{name} {then}, now {here}" for name, (then, here) in other.items())
        warnings.warn(
            f"Expected the versions of the search for the same weights bit for bit: {told}.",
            stacklevel=3,
        )
