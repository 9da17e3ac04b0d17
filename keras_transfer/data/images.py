"""A folder of pictures, one sub-folder a class."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
import tensorflow as tf

from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.readable import readable_pictures
from keras_transfer.data.resizing import Resize, check_resize
from keras_transfer.data.splits import Splits, make_splits, stratified_indices

# The second group cannot be read; it is named in the report rather than passed over in silence.
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ""}
FOREIGN_SUFFIXES = {
    ".webp",
    ".tif",
    ".tiff",
    ".heic",
    ".heif",
    ".avif",
    ".jp2",
    ".jxl",
    ".svg",
    ".ico",
}
# Files are read ahead of what takes them, by several threads, so many in a row by each.
_READERS = 4
_IN_A_ROW = 16
_PART_FOLDERS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}


def image_folder(
    path: str | os.PathLike[str],
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.0,
    seed: int = 0,
    resize: Resize = "stretch",
    on_error: Literal["raise", "skip"] = "raise",
) -> Splits:
    """Reads a folder of pictures, one sub-folder a class.

    Where the folder holds `train/` (and maybe `validation/` and `test/`, each with the same
    class folders), these are taken as they are, and a missing one is split off `train/`.
    Otherwise the class folders lie in `path` itself. Splits are random, stratified by class,
    and the same for the same files and seed. JPEG, PNG, BMP and GIF (first frame) are decoded to
    RGB on white. Every picture is decoded once before this function returns, so that a broken
    one stops you here and not in the middle of training.

    Args:
        path: str or path. The folder.
        image_size: tuple (height, width) in pixels that all pictures are resized to.
        batch_size: int, at least 1.
        validation_split: float from 0 to 1. Share of the pictures for `validation`, unless there
            is a folder of that name.
        test_split: float from 0 to 1. Share of the pictures for `test`, likewise.
        seed: int. Of the split and of the order of the training pictures.
        resize: "stretch" ignores the proportions, "crop" keeps the centered part, "pad" keeps
            the whole picture on white. `kx.export` does the same.
        on_error: "raise" stops at unreadable pictures and names all of them; "skip" lists them
            in a table and goes on without them.

    Returns:
        `kx.Splits`.

    Raises:
        FileNotFoundError: if there is no such folder.
        UnreadablePicturesError: (a ValueError) if pictures cannot be read and `on_error="raise"`.
        ValueError: if there are no class folders or pictures, a class has too few of them, or
            the class folders of the parts differ.

    Example:

    >>> import keras_transfer as kx
    >>> data = kx.image_folder(kx.emoji_styles_folder("noto"), image_size=(32, 32))
    >>> data.class_names[:3]
    ['activities', 'animals_nature', 'food_drink']
    """
    check_resize(resize)
    if on_error not in ("raise", "skip"):
        raise ValueError(f"Expected `on_error` to be 'raise' or 'skip'. Received: {on_error!r}.")
    folders = _part_folders(pathlib.Path(path))
    class_names = _common_class_names(folders)
    files = {part: _files(folder, class_names) for part, folder in folders.items()}
    files = readable_pictures(files, on_error=on_error)
    _check_not_empty(files["train"], folders["train"], class_names)
    for part, (paths, _) in files.items():
        if not len(paths):
            raise ValueError(
                f"Expected readable pictures in {folders[part]}: add some or remove the folder. "
                "Received: none."
            )
    shares = {"test": test_split, "validation": validation_split}
    shares = {part: share for part, share in shares.items() if part not in folders}
    paths, labels = files.pop("train")
    if shares:
        indices = stratified_indices(labels, class_names, shares, seed)
        files |= {part: (paths[chosen], labels[chosen]) for part, chosen in indices.items()}
    else:
        files["train"] = (paths, labels)

    return make_splits(
        {part: tf.data.Dataset.from_tensor_slices(pair) for part, pair in files.items()},
        picture=lambda example: decode_picture(tf.io.read_file(example[0])),
        label=lambda example: example[1],
        contents=lambda part: _contents(files[part][0]),
        class_names=class_names,
        image_size=image_size,
        resize=resize,
        batch_size=batch_size,
        seed=seed,
    )


def picture_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files below a folder that are, or claim to be, pictures, sorted."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in SUFFIXES | FOREIGN_SUFFIXES
        and not any(piece.startswith(".") for piece in file.relative_to(folder).parts)
        and file.is_file()
    ]


def _contents(paths: np.ndarray) -> Iterator[bytes]:
    """What is in the files, many of which are on the way at once."""
    ahead = _READERS * _IN_A_ROW
    with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(paths), ahead):
            shares = np.array_split(paths[start : start + ahead], _READERS)
            for contents in pool.map(_read, shares):
                yield from contents


def _read(paths: np.ndarray) -> list[bytes]:
    return [pathlib.Path(path).read_bytes() for path in paths]


def _part_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    if not root.is_dir():
        raise FileNotFoundError(f"Expected a folder of pictures. Received: {root}, no folder.")
    found = {
        part: root / name
        for part, names in _PART_FOLDERS.items()
        for name in reversed(names)
        if (root / name).is_dir()
    }
    return found if "train" in found else {"train": root}


def _class_names(folder: pathlib.Path) -> list[str]:
    return sorted(
        child.name
        for child in folder.iterdir()
        if child.is_dir() and not child.name.startswith(".")
    )


def _common_class_names(folders: dict[str, pathlib.Path]) -> list[str]:
    class_names = _class_names(folders["train"])
    if len(class_names) < 2:
        raise ValueError(
            "Expected at least two class folders with pictures in them, or train/, validation/ "
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


def _files(folder: pathlib.Path, class_names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    files = [picture_files(folder / name) for name in class_names]
    paths = np.array([str(file) for group in files for file in group], dtype=object)
    return paths, np.repeat(np.arange(len(files), dtype=np.int32), [len(g) for g in files])


def _check_not_empty(
    examples: tuple[np.ndarray, np.ndarray], folder: pathlib.Path, class_names: list[str]
) -> None:
    counts = np.bincount(examples[1], minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if empty:
        raise ValueError(
            f"Expected readable pictures (JPEG, PNG, BMP or GIF) in each class folder of {folder}. "
            f"Received: none for {empty}."
        )
