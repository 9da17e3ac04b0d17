"""A folder of pictures that nobody has sorted into classes: the target of an adaptation."""

from __future__ import annotations

import os
import pathlib
from typing import Literal

import numpy as np
import tensorflow as tf

from keras_transfer.data.class_folders import contents_of_files
from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.domains import NO_LABEL
from keras_transfer.data.images import picture_files
from keras_transfer.data.readable import check_on_error, readable_pictures
from keras_transfer.data.resizing import Resize, check_resize
from keras_transfer.data.splits import Splits, make_splits
from keras_transfer.data.stratified import split_off


def unlabeled_image_folder(
    path: str | os.PathLike[str],
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 32,
    validation_split: float = 0.2,
    seed: int = 0,
    resize: Resize = "stretch",
    on_error: Literal["raise", "skip"] = "raise",
) -> Splits:
    """Reads a folder of pictures without classes, as the target of `kx.pair_domains`.

    All pictures below the folder are taken, whatever its sub-folders are called. They have the
    label -1, which is none: `target_labels="ignore"` leaves it out. Splits are random, and the
    same for the same files and seed; there is no test part, as nothing could be measured on it.
    Every picture is decoded once before this function returns.

    Args:
        path: str or path. The folder.
        image_size: tuple (height, width) in pixels that all pictures are resized to.
        batch_size: int, at least 1.
        validation_split: float from 0 to 1. Share of the pictures for `validation`, on which
            `kx.TargetScore` chooses the epoch.
        seed: int. Of the split and of the order of the training pictures.
        resize: "stretch" ignores the proportions, "crop" keeps the centered part, "pad" keeps
            the whole picture on white; as for the source.
        on_error: "raise" stops at unreadable pictures and names all of them; "skip" lists them
            in a table and goes on without them.

    Returns:
        `kx.Splits`, without `class_names`.

    Raises:
        FileNotFoundError: if there is no such folder.
        UnreadablePicturesError: (a ValueError) if pictures cannot be read and `on_error="raise"`.
        ValueError: if there are no pictures, or too few to be divided, or an argument is out of
            range.

    Example:

    >>> import keras_transfer as kx
    >>> source = kx.image_folder(kx.emoji_styles_folder("noto"), image_size=(32, 32))
    >>> folder = kx.emoji_styles_folder("openmoji")  # has classes, which nobody looks at
    >>> target = kx.unlabeled_image_folder(folder, image_size=(32, 32))
    >>> pairs = kx.pair_domains(source.train, target.train, target_labels="ignore")
    >>> [sorted(part) for part in pairs.element_spec]
    [['source', 'target'], ['source']]
    """
    check_resize(resize)
    check_on_error(on_error)
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"Expected a folder of pictures. Received: {folder}, no folder.")
    paths = np.array([str(file) for file in picture_files(folder)], dtype=object)
    labels = np.full(len(paths), NO_LABEL, np.int32)
    files = readable_pictures({"train": (paths, labels)}, on_error=on_error)
    if not len(files["train"][0]):
        raise ValueError(
            f"Expected readable pictures (JPEG, PNG, BMP or GIF) in {folder}. Received: none."
        )
    files = split_off(files, (), {"validation": validation_split}, seed)
    return make_splits(
        {part: tf.data.Dataset.from_tensor_slices(pair) for part, pair in files.items()},
        picture=lambda example: decode_picture(tf.io.read_file(example[0])),
        label=lambda example: example[1],
        contents=lambda part: contents_of_files(files[part][0]),
        class_names=[],
        image_size=image_size,
        resize=resize,
        batch_size=batch_size,
        seed=seed,
    )


def holds_no_folders(folder: pathlib.Path) -> bool:
    """Whether a folder has pictures and no sub-folders, hence no classes."""
    if not folder.is_dir() or any(
        child.is_dir() and not child.name.startswith(".") for child in folder.iterdir()
    ):
        return False
    return bool(picture_files(folder))
