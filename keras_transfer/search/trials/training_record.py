"""What makes the training of a trial what it was, so that it can be done again."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
import tensorflow as tf
from keras_tuner.engine.trial import Trial

from keras_transfer._atomic import write_text
from keras_transfer._version import __version__
from keras_transfer.data.data_fingerprint import data_fingerprint
from keras_transfer.data.examples import examples_of

if TYPE_CHECKING:
    from keras_transfer.search.transfer_tuner import TransferTuner

# Arguments of `fit` that are told otherwise, or change nothing.
_APART = ("validation_data", "epochs", "verbose")


@dataclasses.dataclass(frozen=True)
class TrainingRecord:
    """One training.

    Attributes:
        hyperparameters: dict from name to value.
        seed: int, of initial weights, dropout and the order of examples.
        epochs: int that `fit` was given, which schedules and stages go by; None for its default.
        trained_epochs: int, after how many of them the weights are taken.
        batch_size: int, after it was halved for lack of memory; None where nobody knows.
        options: dict of what else `fit` was given.
        options_not_kept: names of that which JSON does not hold.
        cache: dict of "dtype" and "views" of the feature cache; None where there was none.
        precision: str, the name of a Keras dtype policy.
        replicas: int.
        data: dict from "train" and "validation" to fingerprints.
        versions: dict from packages to versions.
        goes_on_from: the record of the training whose weights this one began with, or None.
    """

    hyperparameters: dict[str, Any]
    seed: int
    epochs: int | None
    trained_epochs: int
    batch_size: int | None
    options: dict[str, Any]
    options_not_kept: list[str]
    cache: dict[str, Any] | None
    precision: str
    replicas: int
    data: dict[str, str]
    versions: dict[str, str]
    goes_on_from: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> TrainingRecord:
        """Of what `to_dict` gave, whatever stands beside it.

        Raises:
            ValueError: if something is missing.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in told]
        if missing:
            raise ValueError(
                "Expected a best.json that kx.export_best_models has written. "
                f"Received: one without {missing}."
            )
        return cls(**{name: told[name] for name in names})

    def write(self, path: pathlib.Path) -> None:
        """Replaces a file."""
        write_json(path, self.to_dict())


def record_of(
    tuner: TransferTuner,
    trial: Trial,
    train: tf.data.Dataset,
    options: Mapping[str, Any],
    seed: int,
    trained_epochs: int | None,
    halved_batch_size: int | None,
) -> TrainingRecord:
    """The record of a trial that was just trained.

    Args:
        tuner: kx.TransferTuner.
        trial: the trial.
        train: what `search` was given.
        options: of `fit`, besides data to train on and callbacks.
        seed: see `TrainingRecord`.
        trained_epochs: see there.
        halved_batch_size: int, or None where batches were as they were given.
    """
    values = trial.hyperparameters.values
    before = values.get("tuner/trial_id")  # Hyperband goes on with a trial
    parts = {"train": train, "validation": options.get("validation_data")}
    besides = {name: value for name, value in options.items() if name not in _APART}
    kept = {name: value for name, value in besides.items() if _is_json(value)}
    distribution, cache = tuner.compute.distribution, tuner.cache
    examples = examples_of(train)
    own_size = None if examples is None else examples.batch_size
    return TrainingRecord(
        hyperparameters=values,
        seed=seed,
        epochs=options.get("epochs"),
        trained_epochs=trained_epochs or 0,
        batch_size=halved_batch_size or own_size,
        options=kept,
        options_not_kept=sorted(besides.keys() - kept.keys()),
        cache=None if cache is None else {"dtype": cache.dtype, "views": cache.views},
        precision=tuner.compute.dtype_policy,
        replicas=1 if distribution is None else distribution.num_replicas_in_sync,
        data=fingerprints(parts),
        versions=versions(),
        goes_on_from=None if before is None else read_json(tuner.trial_folder(before).record),
    )


def fingerprints(parts: Mapping[str, Any]) -> dict[str, str]:
    """Of the datasets among them, by their names."""
    datasets = {name: part for name, part in parts.items() if isinstance(part, tf.data.Dataset)}
    return {name: data_fingerprint(dataset) for name, dataset in datasets.items()}


def versions() -> dict[str, str]:
    """Of what a training depends on."""
    return {
        "keras_transfer": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "keras_tuner": keras_tuner.__version__,
        "python": platform.python_version(),
    }


def read_json(path: pathlib.Path) -> Any:
    """What is in a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: pathlib.Path, told: Any) -> None:
    """Replaces a file; NumPy's numbers become Python's."""
    text = json.dumps(told, indent=1, default=lambda value: value.item())
    write_text(path, f"{text}\n")


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False
