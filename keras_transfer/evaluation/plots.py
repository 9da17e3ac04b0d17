"""Pictures of an evaluation, drawn without a screen and without pyplot's global state."""

from __future__ import annotations

import pathlib

import numpy as np

from keras_transfer._atomic import replacing

_MAX_COUNTS_SHOWN = 30


def save_confusion_matrix(matrix: np.ndarray, class_names: list[str], path: pathlib.Path) -> None:
    """Draws a confusion matrix as PNG: shares of the true class as shades, counts as numbers.

    Args:
        matrix: int array `(classes, classes)`, true classes in rows; or `(classes, 2, 2)`, drawn
            as one row a class: truly absent and reported absent, and so on.
        class_names: list of str.
        path: the file; replaced if it is there.
    """
    from matplotlib.figure import Figure

    columns = class_names
    if matrix.ndim == 3:
        matrix = matrix.reshape(len(matrix), 4)
        columns = ["true negative", "false positive", "false negative", "true positive"]
    shares = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    width, height = (max(4.0, 2.2 + 0.55 * count) for count in (len(columns), len(class_names)))
    figure = Figure(figsize=(min(width, 30), min(height, 30)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(class_names)), class_names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(class_names) <= _MAX_COUNTS_SHOWN:
        for (row, column), count in np.ndenumerate(matrix):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=shade)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
