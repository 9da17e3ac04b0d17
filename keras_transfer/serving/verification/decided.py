"""Strings of an answer, such as labels, where rounding cannot have changed them."""

from __future__ import annotations

import numpy as np

from keras_transfer.serving.c_api.frames import Arrays


def wrong_strings(expected: Arrays, answers: Arrays, tolerance: float) -> dict[str, int]:
    """How many strings of each output differ from Keras's.

    Args:
        expected: Keras's outputs of a signature, by name.
        answers: of the same rows and outputs.
        tolerance: by how much scores may differ. Where two classes are as close as that, either
            may come first.
    """
    counts = {}
    for name, strings in expected.items():
        if strings.dtype == object:
            wrong = (answers[name] != strings) & _decided(expected, strings.shape, 2 * tolerance)
            counts[name] = int(wrong.sum())
    return {name: count for name, count in counts.items() if count}


def _decided(expected: Arrays, shape: tuple[int, ...], gap: float) -> np.ndarray:
    """For each string whether its class is ahead of the next by more than the gap."""
    invalid = ~expected["valid"] if "valid" in expected else np.zeros(shape[0], bool)
    if "probabilities" in expected:
        best = np.sort(expected["probabilities"], axis=-1)[:, -2:]
        return invalid | (best[:, -1] - best[:, 0] > gap) | (best.shape[1] == 1)
    if "scores" not in expected:
        return np.ones(shape, bool)
    # Of the last of the best nobody knows how close the next one is.
    ahead = np.diff(-expected["scores"], axis=1, append=0.0) > gap
    ahead[:, -1] = False
    behind = np.concatenate([np.ones([len(ahead), 1], bool), ahead[:, :-1]], axis=1)
    return invalid[:, None] | (ahead & behind)
