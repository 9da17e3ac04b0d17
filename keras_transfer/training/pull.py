"""Training with a pull towards the start: where that is, and how it begins and ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from keras_transfer.strategies.proximal import Proximal
from keras_transfer.strategies.regularizers import WeightRegularizer
from keras_transfer.training.checkpoints import Checkpoints


def start_weights(
    model: keras.Model,
    regularizer: WeightRegularizer | Proximal | None,
    keeping: Checkpoints | None,
) -> list[np.ndarray] | None:
    """What a regularizer pulls to: the weights at the first call, not at that of a resume."""
    if regularizer is None:
        return None
    return keeping.start_weights(model) if keeping else model.get_weights()


@contextlib.contextmanager
def pulled(
    model: keras.Model,
    penalty: WeightRegularizer | Proximal | None,
    start: list[np.ndarray] | None,
) -> Iterator[None]:
    """Trains with a penalty in the loss that is gone afterwards."""
    if penalty is None or isinstance(penalty, Proximal):
        yield
        return
    penalty.apply(model, start)
    try:
        yield
    finally:
        penalty.remove(model)
