"""A folder of pictures that nobody has sorted into classes: the target of an adaptation."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

from keras_transfer.data.class_folders import contents_of_files
from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.images import picture_files
from keras_transfer.data.readable import readable_pictures
from keras_transfer.data.resizing import Resize, check_resize
from keras_transfer.data.splits import Splits, make_splits
from keras_transfer.data.stratified import split_off

# What `kx.pair_domains` takes for none.
NO_LABEL = -1


def holds_no_folders(folder: pathlib.Path) -> bool:
    """Whether a folder has pictures and no sub-folders, hence no classes."""
    if not folder.is_dir() or any(
        child.is_dir() and not child.name.startswith(".") for child in folder.iterdir()
    ):
        return False
    return bool(picture_files(folder))


def unlabeled_image_folder(
    path: pathlib.Path,
    class_names: Sequence[str],
    *,
    image_size: tuple[int, int],
    batch_size: int,
    validation_split: float,
    seed: int,
    resize: Resize,
    on_error: Literal["raise", "skip"],
) -> Splits:
    """The pictures of a folder, each with the label -1, without a test part.

    Args:
        path: the folder.
        class_names: those that a model of the source has; the pictures may be of any.
        image_size: as in `kx.image_folder`, as the arguments that follow.
        batch_size: see there.
        validation_split: see there.
        seed: see there.
        resize: see there.
        on_error: see there.
    """
    check_resize(resize)
    paths = np.array([str(file) for file in picture_files(path)], dtype=object)
    labels = np.full(len(paths), NO_LABEL, np.int32)
    files = readable_pictures({"train": (paths, labels)}, on_error=on_error)
    files = split_off(files, (), {"validation": validation_split}, seed)
    return make_splits(
        {part: tf.data.Dataset.from_tensor_slices(pair) for part, pair in files.items()},
        picture=lambda example: decode_picture(tf.io.read_file(example[0])),
        label=lambda example: example[1],
        contents=lambda part: contents_of_files(files[part][0]),
        class_names=list(class_names),
        image_size=image_size,
        resize=resize,
        batch_size=batch_size,
        seed=seed,
    )
