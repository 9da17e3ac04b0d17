"""`models.config`, which tells TF Serving what to serve, and labels such as `stable`.

It stands beside the models' folders, `models/models.config` for `models/flowers`. Reference:
"Tensorflow Serving Configuration", TF Serving. A server that watches it refuses a whole file in
which a label names a version that it has not loaded (`ServerCore::ReloadConfig`), so a version is
loaded first and gets its label when it is.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from keras_transfer._atomic import write_text
from keras_transfer.serving.versions.numbers import versions

FILE = "models.config"
# Where the container files mount the folder with all models.
IN_CONTAINER = "/models"
_LABEL = re.compile(r"[a-zA-Z0-9_]+")


def labels_of(base_path: str | os.PathLike[str]) -> dict[str, int]:
    """The versions of a model by label.

    Args:
        base_path: the model's folder.

    Returns:
        dict from label to the number of the version.

    Raises:
        ValueError: if `models.config` is damaged.

    Example:

    >>> import keras_transfer as kx
    >>> kx.labels_of("models/none_yet")
    {}
    """
    base_path = pathlib.Path(base_path)
    entry = _entry(read_config(base_path.parent), base_path.name)
    return {} if entry is None else dict(sorted(entry.version_labels.items()))


def set_label(
    base_path: str | os.PathLike[str],
    label: str,
    version: int,
    *,
    loaded: Callable[[int], None] | None = None,
) -> None:
    """Gives a version a label by which requests can ask for it, taking it from another version.

    `models.config` is replaced at once. From then on the server has those versions of the model
    that have a label; clients should ask for a label: without one they get the highest version.

    Args:
        base_path: the model's folder, such as models/flowers.
        label: str, of letters, digits and underscores, such as "stable" or "canary".
        version: int, a version that is there.
        loaded: called with the version in between, when the server has been told to load it; it
            returns when the server has it. None where no server is running: one that is would
            refuse the file, unless it has the version already.

    Raises:
        FileNotFoundError: if there is no such version.
        ValueError: if the label has other characters, or `models.config` is damaged.

    Example:

    >>> import pathlib, tempfile
    >>> import keras_transfer as kx
    >>> base_path = pathlib.Path(tempfile.mkdtemp(), "flowers")
    >>> (base_path / "3").mkdir(parents=True)
    >>> kx.set_label(base_path, "stable", 3)
    >>> kx.labels_of(base_path)
    {'stable': 3}
    """
    base_path = pathlib.Path(base_path)
    if not _LABEL.fullmatch(label):
        raise ValueError(
            f"Expected a label of letters, digits and underscores. Received: label={label!r}."
        )
    if not (base_path / str(version)).is_dir():
        raise FileNotFoundError(
            f"Expected a version below {base_path}. Received: version={version}, not there."
        )
    config = read_config(base_path.parent)
    entry = _entry(config, base_path.name) or _new_entry(config, base_path.name)
    served = entry.model_version_policy.specific.versions
    if loaded is not None and version not in served:
        served.append(version)
        _write(base_path, config)
        loaded(version)
    entry.version_labels[label] = version
    # Assigning chooses this policy in place of another one.
    entry.model_version_policy.specific.versions[:] = sorted(set(entry.version_labels.values()))
    _write(base_path, config)


def roll_back(
    base_path: str | os.PathLike[str],
    label: str = "stable",
    *,
    loaded: Callable[[int], None] | None = None,
) -> int:
    """Gives a label to the version before the one that has it.

    Args:
        base_path: the model's folder.
        label: str, a label that a version has.
        loaded: as in `set_label`.

    Returns:
        The version that has the label now.

    Raises:
        ValueError: if no version has the label, or none is before it.

    Example:

    >>> import pathlib, tempfile
    >>> import keras_transfer as kx
    >>> base_path = pathlib.Path(tempfile.mkdtemp(), "flowers")
    >>> for number in "12":
    ...     (base_path / number).mkdir(parents=True)
    >>> kx.set_label(base_path, "stable", 2)
    >>> kx.roll_back(base_path)
    1
    """
    base_path = pathlib.Path(base_path)
    labels = labels_of(base_path)
    earlier = [number for number in versions(base_path) if number < labels.get(label, 0)]
    if not earlier:
        raise ValueError(
            f"Expected a version below {base_path} before the one with the label {label!r}. "
            f"Received: labels {labels}, versions {versions(base_path)}."
        )
    set_label(base_path, label, earlier[-1], loaded=loaded)
    return earlier[-1]


def pinned_versions(base_path: pathlib.Path) -> set[int]:
    """The versions that `models.config` names, by a label or to be loaded."""
    entry = _entry(read_config(base_path.parent), base_path.name)
    if entry is None:
        return set()
    return {*entry.version_labels.values(), *entry.model_version_policy.specific.versions}


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


def _write(base_path: pathlib.Path, config: Any) -> None:
    from google.protobuf import text_format

    write_text(base_path.parent / FILE, text_format.MessageToString(config))


def _entry(config: Any, name: str) -> Any:
    entries: Iterator[Any] = iter(config.model_config_list.config)
    return next((entry for entry in entries if entry.name == name), None)


def _new_entry(config: Any, name: str) -> Any:
    return config.model_config_list.config.add(
        name=name, base_path=f"{IN_CONTAINER}/{name}", model_platform="tensorflow"
    )
