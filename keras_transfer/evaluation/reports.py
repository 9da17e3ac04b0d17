"""The figures of an evaluation, as plain attributes, as JSON and as a table."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

import numpy as np

from keras_transfer._atomic import write_text


@dataclasses.dataclass(frozen=True)
class ClassificationReport:
    """How well a classifier did.

    Attributes:
        accuracy: float. Share of right answers; where several classes may hold at once, share of
            pictures with all of them right.
        macro_f1: float. Mean F1 of the classes.
        weighted_f1: float. The same weighted by their numbers of pictures.
        loss: float. Mean cross-entropy.
        per_class: dict from class name to "precision", "recall", "f1" and "support".
        confusion_matrix: int array `(classes, classes)`, true classes in rows; where several
            classes may hold at once `(classes, 2, 2)`.
        class_names: list of str.
        labels: int array `(n,)` or `(n, classes)`, the truth in the order of the dataset.
        probabilities: float32 array `(n, classes)` in the same order.
    """

    accuracy: float
    macro_f1: float
    weighted_f1: float
    loss: float
    per_class: dict[str, dict[str, float]]
    confusion_matrix: np.ndarray
    class_names: list[str]
    labels: np.ndarray
    probabilities: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """The figures without the single predictions, ready for JSON."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "weighted_f1": self.weighted_f1,
            "loss": self.loss,
            "num_examples": len(self.labels),
            "per_class": self.per_class,
            "confusion_matrix": self.confusion_matrix.tolist(),
            "class_names": self.class_names,
        }

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes `metrics.json` and `confusion_matrix.png`.

        Args:
            folder: made if it is not there.
        """
        from keras_transfer.evaluation.plots import save_confusion_matrix

        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        save_confusion_matrix(
            self.confusion_matrix, self.class_names, pathlib.Path(folder) / "confusion_matrix.png"
        )
        _save_metrics(self.to_dict(), folder)

    def print(self) -> None:
        """Prints the figures of each class and of all as a table."""
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        title = f"accuracy {self.accuracy:.3f}, macro F1 {self.macro_f1:.3f}, loss {self.loss:.3f}"
        table = Table("Class", title=title)
        for column in ("precision", "recall", "f1", "support"):
            table.add_column(column, justify="right")
        for name, row in self.per_class.items():
            figures = [f"{row[column]:.3f}" for column in ("precision", "recall", "f1")]
            table.add_row(escape(name), *figures, str(row["support"]))
        Console().print(table)


@dataclasses.dataclass(frozen=True)
class RegressionReport:
    """How well a regressor did.

    Attributes:
        mean_absolute_error: float, in the unit of the labels.
        root_mean_squared_error: float, in the unit of the labels.
        r2: float. Share of the variance explained, 1 at best; nan for a single example.
        loss: float. Mean squared error.
        labels: float array `(n, outputs)`, the truth in the order of the dataset.
        predictions: float32 array `(n, outputs)` in the same order.
    """

    mean_absolute_error: float
    root_mean_squared_error: float
    r2: float
    loss: float
    labels: np.ndarray
    predictions: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """The figures without the single predictions, ready for JSON."""
        return {
            "mean_absolute_error": self.mean_absolute_error,
            "root_mean_squared_error": self.root_mean_squared_error,
            "r2": self.r2 if np.isfinite(self.r2) else None,
            "loss": self.loss,
            "num_examples": len(self.labels),
        }

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes `metrics.json`.

        Args:
            folder: made if it is not there.
        """
        _save_metrics(self.to_dict(), folder)

    def print(self) -> None:
        """Prints the figures as a table."""
        from rich.console import Console
        from rich.table import Table

        table = Table("Figure", "Value")
        for name, value in self.to_dict().items():
            table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
        Console().print(table)


def classification_report(
    labels: np.ndarray, probabilities: np.ndarray, *, class_names: list[str], loss: float
) -> ClassificationReport:
    """Counts through scikit-learn; `labels` `(n,)`, or `(n, classes)` for several at once."""
    from sklearn import metrics

    several = labels.ndim == 2
    predicted = (probabilities > 0.5) if several else probabilities.argmax(-1)
    classes = range(len(class_names))
    figures = metrics.classification_report(
        labels,
        predicted,
        labels=list(classes),
        target_names=class_names,
        output_dict=True,
        zero_division=0.0,
    )
    matrix = metrics.multilabel_confusion_matrix if several else metrics.confusion_matrix
    return ClassificationReport(
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        macro_f1=float(figures["macro avg"]["f1-score"]),
        weighted_f1=float(figures["weighted avg"]["f1-score"]),
        loss=loss,
        per_class={name: _row(figures[name]) for name in class_names},
        confusion_matrix=matrix(labels, predicted, labels=list(classes)),
        class_names=class_names,
        labels=labels,
        probabilities=probabilities,
    )


def regression_report(
    labels: np.ndarray, predictions: np.ndarray, *, loss: float
) -> RegressionReport:
    """Figures through scikit-learn; both arrays `(n, outputs)`."""
    from sklearn import metrics

    return RegressionReport(
        mean_absolute_error=float(metrics.mean_absolute_error(labels, predictions)),
        root_mean_squared_error=float(metrics.mean_squared_error(labels, predictions) ** 0.5),
        r2=float(metrics.r2_score(labels, predictions)) if len(labels) > 1 else float("nan"),
        loss=loss,
        labels=labels,
        predictions=predictions,
    )


def _row(figures: dict[str, float]) -> dict[str, float]:
    return {
        "precision": float(figures["precision"]),
        "recall": float(figures["recall"]),
        "f1": float(figures["f1-score"]),
        "support": int(figures["support"]),
    }


def _save_metrics(figures: dict[str, Any], folder: str | os.PathLike[str]) -> None:
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    write_text(pathlib.Path(folder) / "metrics.json", json.dumps(figures, indent=1) + "\n")
