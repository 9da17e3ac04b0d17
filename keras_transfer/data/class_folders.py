"""Folders of files, one sub-folder a class, maybe in train/, validation/ and test/."""

from __future__ import annotations

import concurrent.futures
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

# What the parts of a data set are called, also in tables.
PART_NAMES = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
# Files are read ahead of what takes them, by several threads, so many in a row by each.
_READERS = 4
_IN_A_ROW = 16


def part_folders(root: pathlib.Path, kind: str) -> dict[str, pathlib.Path]:
    """The folder of each part that there is; `root` itself where it holds no train/.

    Args:
        root: the folder.
        kind: what is looked for, in the plural, for error messages.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"Expected a folder of {kind}. Received: {root}, no folder.")
    found = {
        part: root / name
        for part, names in PART_NAMES.items()
        for name in reversed(names)
        if (root / name).is_dir()
    }
    return found if "train" in found else {"train": root}


def common_class_names(folders: dict[str, pathlib.Path], kind: str) -> list[str]:
    """The names of the class folders, sorted, which all parts have in common.

    Args:
        folders: by part, "train" among them.
        kind: see `part_folders`.

    Raises:
        ValueError: if there are fewer than two, or the parts differ.
    """
    class_names = _class_names(folders["train"])
    if len(class_names) < 2:
        raise ValueError(
            f"Expected at least two class folders with {kind} in them, or train/, validation/ "
            f"and test/ that hold such. Received: {folders['train']} with {class_names}."
        )
    for folder in folders.values():
        here = _class_names(folder)
        if here != class_names:
            raise ValueError(
                f"Expected the same class folders in {folder} as in {folders['train']}. "
                f"Received: missing {sorted(set(class_names) - set(here))}, "
                f"unknown {sorted(set(here) - set(class_names))}."
            )
    return class_names


def _class_names(folder: pathlib.Path) -> list[str]:
    return sorted(
        child.name
        for child in folder.iterdir()
        if child.is_dir() and not child.name.startswith(".")
    )


def class_files(
    folder: pathlib.Path,
    class_names: Sequence[str],
    find: Callable[[pathlib.Path], list[pathlib.Path]],
) -> tuple[np.ndarray, np.ndarray]:
    """The paths of the files of all classes, and their labels.

    Args:
        folder: that holds the class folders.
        class_names: of these.
        find: gives the files below a folder.
    """
    files = [find(folder / name) for name in class_names]
    paths = np.array([str(file) for group in files for file in group], dtype=object)
    return paths, np.repeat(np.arange(len(files), dtype=np.int32), [len(g) for g in files])


def visible_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """The files below a folder, sorted, without those that are hidden or in hidden folders."""
    for file in sorted(folder.rglob("*")):
        hidden = any(piece.startswith(".") for piece in file.relative_to(folder).parts)
        if not hidden and file.is_file():
            yield file


def check_each_class(
    files: dict[str, tuple[np.ndarray, np.ndarray]],
    folders: dict[str, pathlib.Path],
    class_names: Sequence[str],
    kind: str,
) -> None:
    """Checks that there is something to train on of each class, and something in other parts.

    Args:
        files: paths and labels, by part.
        folders: of the parts.
        class_names: see above.
        kind: see `part_folders`; more precisely.

    Raises:
        ValueError: if there is not.
    """
    counts = np.bincount(files["train"][1], minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if empty:
        raise ValueError(
            f"Expected {kind} in each class folder of {folders['train']}. "
            f"Received: none for {empty}."
        )
    for part, (paths, _) in files.items():
        if not len(paths):
            raise ValueError(
                f"Expected {kind} in {folders[part]}: add some or remove the folder. "
                "Received: none."
            )


def contents_of_files(paths: np.ndarray) -> Iterator[bytes]:
    """What is in the files, many of which are on the way at once."""
    ahead = _READERS * _IN_A_ROW
    with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(paths), ahead):
            shares = np.array_split(paths[start : start + ahead], _READERS)
            for contents in pool.map(_read, shares):
                yield from contents


def _read(paths: np.ndarray) -> list[bytes]:
    return [pathlib.Path(path).read_bytes() for path in paths]
