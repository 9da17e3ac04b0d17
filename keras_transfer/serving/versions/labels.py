"""Labels such as `stable`, by which clients ask for a version.

A server that watches `models.config` refuses a whole file in which a label names a version that it
has not loaded (`ServerCore::ReloadConfig`), so a version is loaded first and gets its label when it
is.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

from keras_transfer.serving.versions.locks import config_lock, versions_lock
from keras_transfer.serving.versions.models_config import (
    absolute,
    entry_of,
    new_entry,
    read_config,
    write_config,
)
from keras_transfer.serving.versions.numbers import versions

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
    base_path = absolute(base_path)
    entry = entry_of(read_config(base_path.parent), base_path)
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
            returns when the server has it, and where it raises, the file is as before. None where
            no server is running: one that is would refuse the file, unless it has the version
            already.

    Raises:
        FileNotFoundError: if there is no such version.
        ValueError: if the label has other characters, or `models.config` is damaged.
        TimeoutError: if somebody else has been editing the file for a minute.

    Example:

    >>> import pathlib, tempfile
    >>> import keras_transfer as kx
    >>> base_path = pathlib.Path(tempfile.mkdtemp(), "flowers")
    >>> (base_path / "3").mkdir(parents=True)
    >>> kx.set_label(base_path, "stable", 3)
    >>> kx.labels_of(base_path)
    {'stable': 3}
    """
    base_path = absolute(base_path)
    if not _LABEL.fullmatch(label):
        raise ValueError(
            f"Expected a label of letters, digits and underscores. Received: label={label!r}."
        )
    _check_there(base_path, version)
    with config_lock(base_path.parent):
        config, before = read_config(base_path.parent), read_config(base_path.parent)
        entry = entry_of(config, base_path) or new_entry(config, base_path.name)
        served = entry.model_version_policy.specific.versions
        with versions_lock(base_path):  # what the file names is not removed any more
            _check_there(base_path, version)
            if loaded is None:
                _give_label(entry, label, version)
            elif version not in served:
                served.append(version)
            write_config(base_path.parent, config)
        if loaded is None:
            return
        try:
            loaded(version)  # also one that is in the file: it may have failed to load
        except BaseException:
            write_config(base_path.parent, before)
            raise
        _give_label(entry, label, version)
        write_config(base_path.parent, config)


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
        TimeoutError: as in `set_label`.

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
    base_path = absolute(base_path)
    labels = labels_of(base_path)
    earlier = [number for number in versions(base_path) if number < labels.get(label, 0)]
    if not earlier:
        raise ValueError(
            f"Expected a version below {base_path} before the one with the label {label!r}. "
            f"Received: labels {labels}, versions {versions(base_path)}."
        )
    set_label(base_path, label, earlier[-1], loaded=loaded)
    return earlier[-1]


def _check_there(base_path: pathlib.Path, version: int) -> None:
    if not (base_path / str(version)).is_dir():
        raise FileNotFoundError(
            f"Expected one of the versions {versions(base_path)} below {base_path}. "
            f"Received: version={version}, not there."
        )


def _give_label(entry: Any, label: str, version: int) -> None:
    """The server is to have what has a label."""
    entry.version_labels[label] = version
    # Assigning chooses this policy in place of another one.
    entry.model_version_policy.specific.versions[:] = sorted(set(entry.version_labels.values()))
