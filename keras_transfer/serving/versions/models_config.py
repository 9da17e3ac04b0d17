"""`models.config`, which tells TF Serving what to serve.

It stands beside the models' folders, `models/models.config` for `models/flowers`. Reference:
"Tensorflow Serving Configuration", TF Serving.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any

from keras_transfer._atomic import write_text

FILE = "models.config"
# Where the container files mount the folder with all models.
IN_CONTAINER = "/models"


def pinned_versions(base_path: pathlib.Path) -> set[int]:
    """The versions that `models.config` names, by a label or to be loaded."""
    base_path = absolute(base_path)
    entries = entries_of(read_config(base_path.parent), base_path)
    labeled = {number for entry in entries for number in entry.version_labels.values()}
    return labeled.union(*(entry.model_version_policy.specific.versions for entry in entries))


def read_config(folder: pathlib.Path) -> Any:
    """The ModelServerConfig of a folder of models; an empty one where there is no file.

    Raises:
        ValueError: if it is damaged.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    path = folder / FILE
    if not path.is_file():
        return ModelServerConfig()
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Expected TF Serving's text format in {path}; mend it or delete it. Received: {error}."
        ) from error


def absolute(base_path: str | os.PathLike[str]) -> pathlib.Path:
    """With a name and a folder around it, which "." has not."""
    return pathlib.Path(os.path.abspath(base_path))


def write_config(folder: pathlib.Path, config: Any) -> None:
    """Replaces the file of a folder of models at once."""
    from google.protobuf import text_format

    write_text(folder / FILE, text_format.MessageToString(config))


def entry_of(config: Any, base_path: pathlib.Path) -> Any:
    """The ModelConfig of a model, by its folder; None where it has none."""
    return next(iter(entries_of(config, base_path)), None)


def entries_of(config: Any, base_path: pathlib.Path) -> list[Any]:
    """Those of the models that are served from a folder, and of the one that has its name."""
    paths = {str(base_path), f"{IN_CONTAINER}/{base_path.name}"}
    entries = config.model_config_list.config
    here = [entry for entry in entries if entry.base_path in paths]
    return here + [x for x in entries if x.name == base_path.name and x.base_path not in paths]


def new_entry(config: Any, name: str) -> Any:
    """Adds a model to a ModelServerConfig."""
    return config.model_config_list.config.add(
        name=name, base_path=f"{IN_CONTAINER}/{name}", model_platform="tensorflow"
    )
