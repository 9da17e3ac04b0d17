"""An exported version, called from Python without a server."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class LocalModel:
    """Loads an exported version and answers for encoded pictures.

    Args:
        version_path: a version made by `kx.export`, `base_path/N`.

    Raises:
        FileNotFoundError: if the folder holds no exported version.
    """

    def __init__(self, version_path: str | os.PathLike[str]):
        self.version_path = version_path
        if not pathlib.Path(version_path, "saved_model.pb").is_file():
            raise FileNotFoundError(
                f"Expected an exported version, such as models/flowers/1. Received: {version_path}."
            )
        self._model = tf.saved_model.load(os.fspath(version_path))

    def predict(self, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
        """Answers for encoded pictures, through `serving_default`.

        Args:
            pictures: the bytes of JPEG, PNG, BMP or GIF files; all have to be readable.

        Returns:
            For each picture a dict with `label` and `score`, or `values` of a regressor.
        """
        if not pictures:
            return []
        outputs = self._model.signatures["serving_default"](image_bytes=tf.constant(list(pictures)))
        if "values" in outputs:
            return [{"values": row.tolist()} for row in outputs["values"].numpy()]
        pairs = zip(outputs["label"].numpy(), outputs["score"].numpy(), strict=True)
        return [{"label": label.decode(), "score": float(score)} for label, score in pairs]
