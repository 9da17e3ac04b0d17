"""Keras's early stopping, for a training that may be killed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's early stopping on the validation loss, able to go on from a checkpoint.

    Args:
        patience: int. Epochs without a lower validation loss before training stops; the weights
            of the best epoch are restored at the end.
    """

    def __init__(self, patience: int):
        super().__init__("val_loss", mode="min", patience=patience, restore_best_weights=True)
        self._resumed: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        """What has to be kept besides the best weights."""
        best = None if self.best is None else float(self.best)
        return {"best": best, "best_epoch": self.best_epoch, "wait": self.wait}

    def resume(self, state: dict[str, Any], best_weights: list[np.ndarray]) -> None:
        """Takes up the state at the next start of training."""
        self._resumed = {**state, "best_weights": best_weights}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keras forgets everything here."""
        super().on_train_begin(logs)
        for name, value in self._resumed.items():
            setattr(self, name, value)
        self._resumed = {}
