"""An exported version, called from Python without a server."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_transfer.serving.verification.ops import load_ops_of
from keras_transfer.serving.verification.saved_graph import served_graph


class LocalModel:
    """Loads an exported version and answers for encoded pictures, or for texts.

    Args:
        version_path: a version made by `kx.export`, `base_path/N`.

    Raises:
        FileNotFoundError: if the folder holds no exported version.
        VerificationError: if its graph is damaged.
    """

    def __init__(self, version_path: str | os.PathLike[str]):
        self.version_path = version_path
        if not pathlib.Path(version_path, "saved_model.pb").is_file():
            raise FileNotFoundError(
                f"Expected an exported version, such as models/flowers/1. Received: {version_path}."
            )
        load_ops_of(served_graph(pathlib.Path(version_path)).graph_def)
        self._model = tf.saved_model.load(os.fspath(version_path))

    @property
    def _takes(self) -> str:
        (name,) = self._model.signatures["serving_default"].structured_input_signature[1]
        return str(name)

    def check_takes(self, name: str) -> None:
        """Raises a ValueError unless `serving_default` takes an input of that name."""
        if self._takes != name:
            raise ValueError(
                f"Expected a version that takes {name!r}. "
                f"Received: {self.version_path}, which takes {self._takes!r}."
            )

    def predict(self, inputs: Sequence[bytes]) -> list[dict[str, Any]]:
        """Answers for encoded pictures or texts, through `serving_default`.

        Args:
            inputs: the bytes of JPEG, PNG, BMP or GIF files, or texts in UTF-8.

        Returns:
            For each of them a dict with `label` and `score`, or `values` of a regressor, and
            `valid`: whether it could be read. The others are zeros and an empty label where not.
        """
        if not inputs:
            return []
        serve = self._model.signatures["serving_default"]
        outputs = serve(**{self._takes: tf.constant(list(inputs))})
        found = [{"valid": bool(valid)} for valid in outputs["valid"].numpy()]
        if "values" in outputs:
            rows = outputs["values"].numpy()
            return [{"values": row.tolist(), **x} for row, x in zip(rows, found, strict=True)]
        labels, scores = outputs["label"].numpy(), outputs["score"].numpy()
        return [
            {"label": label.decode(), "score": float(score), **x}
            for label, score, x in zip(labels, scores, found, strict=True)
        ]
