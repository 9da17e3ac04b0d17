"""A folder of texts, one sub-folder a class."""

from __future__ import annotations

import os
import pathlib

import keras
import tensorflow as tf

from keras_transfer.data.class_folders import (
    check_each_class,
    class_files,
    common_class_names,
    contents_of_files,
    part_folders,
    visible_files,
)
from keras_transfer.data.splits import Splits
from keras_transfer.data.stratified import split_off
from keras_transfer.data.texts import make_text_splits


def text_folder(
    path: str | os.PathLike[str],
    *,
    preprocessor: keras.layers.Layer | None = None,
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.0,
    seed: int = 0,
) -> Splits:
    """Reads a folder of `.txt` files, one sub-folder a class.

    Where the folder holds `train/` (and maybe `validation/` and `test/`, each with the same
    class folders), these are taken as they are, and a missing one is split off `train/`.
    Otherwise the class folders lie in `path` itself. Splits are random, stratified by class, and
    the same for the same files and seed. Files are UTF-8; bytes that are not are replaced by
    U+FFFD. They are read as they are needed.

    Args:
        path: str or path. The folder.
        preprocessor: see `kx.text_table`, with the order of batches, too.
        batch_size: int, at least 1.
        validation_split: float from 0 to 1. Share of the texts for `validation`, unless there is
            a folder of that name.
        test_split: float from 0 to 1. Share of the texts for `test`, likewise.
        seed: int. Of the split and of the order of the training texts.

    Returns:
        `kx.Splits`.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if there are no class folders or texts, a class has too few of them, the class
            folders of the parts differ, or `preprocessor` does not fit.

    Example:

    >>> import pathlib, tempfile
    >>> import keras_transfer as kx
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ["ham", "spam"]:
    ...     (folder / name).mkdir()
    ...     for number in range(5):
    ...         _ = (folder / name / f"{number}.txt").write_text(f"{name} {number}")
    >>> data = kx.text_folder(folder, validation_split=0.2)
    >>> data.class_names, [len(texts) for texts, labels in data.validation]
    (['ham', 'spam'], [2])
    """
    folders = part_folders(pathlib.Path(path), "texts")
    class_names = common_class_names(folders, "texts")
    files = {part: class_files(folder, class_names, _texts) for part, folder in folders.items()}
    check_each_class(files, folders, class_names, "texts (.txt files)")
    shares = {"test": test_split, "validation": validation_split}
    return make_text_splits(
        split_off(files, class_names, shares, seed),
        class_names=class_names,
        preprocessor=preprocessor,
        batch_size=batch_size,
        seed=seed,
        read=_read,
        contents=contents_of_files,
    )


def _texts(folder: pathlib.Path) -> list[pathlib.Path]:
    return [file for file in visible_files(folder) if file.suffix.lower() == ".txt"]


def _read(paths: tf.Tensor) -> tf.Tensor:
    """The texts of files, without marks of the byte order, which some editors write."""
    contents = tf.map_fn(tf.io.read_file, paths)
    texts = tf.strings.unicode_transcode(contents, "UTF-8", "UTF-8", errors="replace")
    return tf.strings.regex_replace(texts, "^\ufeff", "")
