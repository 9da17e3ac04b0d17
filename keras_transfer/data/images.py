"""A folder of pictures, one sub-folder a class."""

from __future__ import annotations

import os
import pathlib
from typing import Literal

import tensorflow as tf

from keras_transfer.data.class_folders import (
    check_each_class,
    class_files,
    common_class_names,
    contents_of_files,
    part_folders,
    visible_files,
)
from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.readable import check_on_error, readable_pictures
from keras_transfer.data.resizing import Resize, check_resize
from keras_transfer.data.splits import Splits, make_splits
from keras_transfer.data.stratified import split_off

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
    check_on_error(on_error)
    folders = part_folders(pathlib.Path(path), "pictures")
    class_names = common_class_names(folders, "pictures")
    files = {
        part: class_files(folder, class_names, picture_files) for part, folder in folders.items()
    }
    files = readable_pictures(files, on_error=on_error)
    check_each_class(files, folders, class_names, "readable pictures (JPEG, PNG, BMP or GIF)")
    shares = {"test": test_split, "validation": validation_split}
    files = split_off(files, class_names, shares, seed)
    return make_splits(
        {part: tf.data.Dataset.from_tensor_slices(pair) for part, pair in files.items()},
        picture=lambda example: decode_picture(tf.io.read_file(example[0])),
        label=lambda example: example[1],
        contents=lambda part: contents_of_files(files[part][0]),
        class_names=class_names,
        image_size=image_size,
        resize=resize,
        batch_size=batch_size,
        seed=seed,
    )


def picture_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files below a folder that are, or claim to be, pictures, sorted."""
    suffixes = SUFFIXES | FOREIGN_SUFFIXES
    return [file for file in visible_files(folder) if file.suffix.lower() in suffixes]
