"""Which models are to be served, from where, and which versions of each."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from keras_transfer.serving.versions.models_config import FILE, IN_CONTAINER, read_config


@dataclasses.dataclass(frozen=True)
class Source:
    """One model.

    Attributes:
        name: str, by which requests ask for it.
        base_path: the folder with its versions.
        policy: "latest", "all" or "specific".
        numbers: how many of the newest for "latest"; which versions for "specific".
        labels: versions by label.
    """

    name: str
    base_path: pathlib.Path
    policy: str = "latest"
    numbers: tuple[int, ...] = (1,)
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def wanted(self, versions: Collection[int]) -> list[int]:
        """Those of the versions there that are to be served."""
        if self.policy == "all":
            return sorted(versions)
        if self.policy == "specific":
            return sorted(set(versions) & set(self.numbers))
        return sorted(versions)[-self.numbers[0] :]


def sources_in(folder: pathlib.Path) -> list[Source]:
    """The models of a folder: those of its `models.config`, else each folder that has versions.

    Args:
        folder: a folder of models, or the base path of one.

    Raises:
        FileNotFoundError: if there is no model.
        ValueError: if `models.config` is damaged.
    """
    if (folder / FILE).is_file():
        return [_source(entry, folder) for entry in read_config(folder).model_config_list.config]
    if _has_versions(folder):
        return [Source(folder.resolve().name, folder)]
    inner = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [Source(one.name, one) for one in inner if _has_versions(one)]
    if not found:
        raise FileNotFoundError(
            "Expected a folder of models, or of the versions of one, such as models/flowers with "
            f"models/flowers/1 in it. Received: {folder}, where there is none."
        )
    return found


def _source(entry: Any, folder: pathlib.Path) -> Source:
    base_path = pathlib.Path(entry.base_path)
    if base_path.is_relative_to(IN_CONTAINER) and not base_path.is_dir():
        base_path = folder / base_path.relative_to(IN_CONTAINER)
    policy = entry.model_version_policy.WhichOneof("policy_choice") or "latest"
    numbers: tuple[int, ...] = (entry.model_version_policy.latest.num_versions or 1,)
    if policy == "specific":
        numbers = tuple(entry.model_version_policy.specific.versions)
    return Source(entry.name, base_path, policy, numbers, dict(entry.version_labels))


def _has_versions(folder: pathlib.Path) -> bool:
    return folder.is_dir() and any(child.name.isdecimal() for child in folder.iterdir())
