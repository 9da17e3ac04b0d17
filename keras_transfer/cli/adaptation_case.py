"""A finished training of an adaptation: figures, weights and features in a folder."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_transfer._atomic import publish, staging_folder

if TYPE_CHECKING:
    import keras
    import numpy as np

SOURCE_ONLY, ORACLE = "source_only", "oracle"
_FIGURES, _WEIGHTS, _FEATURES = "case.json", "model.weights.h5", "features.npz"


@dataclasses.dataclass(frozen=True)
class Case:
    """A finished training.

    Attributes:
        name: "source_only", a method or "oracle".
        seed: int.
        folder: with its weights, figures and features.
    """

    name: str
    seed: int
    folder: pathlib.Path

    @property
    def is_source_only(self) -> bool:
        """Whether it is what the others are compared with."""
        return self.name == SOURCE_ONLY

    @property
    def figures(self) -> dict[str, Any]:
        """What was measured."""
        figures = self._told()["figures"]
        return {"case": self.name, "seed": self.seed, **figures}

    @property
    def score(self) -> float | None:
        """That of predictions on the target; None of a model that was rejected."""
        return self.figures["target_score"]

    @property
    def features(self) -> dict[str, np.ndarray]:
        """Those of held-out examples: "source" with "labels", and "target"."""
        import numpy as np

        with np.load(self.folder / _FEATURES) as arrays:
            return dict(arrays)

    def histories(self) -> list[keras.callbacks.History]:
        """One a stage."""
        import keras

        found = []
        for logs in self._told()["logs"]:
            history = keras.callbacks.History()
            history.history, history.epoch = logs, list(range(len(logs["loss"])))
            found.append(history)
        return found

    def load_weights(self, model: keras.Model) -> None:
        """Gives them to a model of the same kind."""
        model.load_weights(self.folder / _WEIGHTS)

    def keep(
        self,
        model: keras.Model,
        histories: Sequence[keras.callbacks.History],
        figures: dict[str, Any],
        features: dict[str, Any],
    ) -> None:
        """Writes the folder, whole or not at all."""
        import numpy as np

        told = {"figures": figures, "logs": [_logs(history) for history in histories]}
        with staging_folder(self.folder.parent) as staging:
            model.save_weights(staging / _WEIGHTS)
            np.savez(staging / _FEATURES, **features)
            (staging / _FIGURES).write_text(json.dumps(told))
            publish(staging, self.folder)

    def _told(self) -> dict[str, Any]:
        return json.loads((self.folder / _FIGURES).read_text())


def _logs(history: keras.callbacks.History) -> dict[str, list[float]]:
    return {name: [float(x) for x in values] for name, values in history.history.items()}
