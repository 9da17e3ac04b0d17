"""A table of texts, with or without labels, in a CSV or TSV file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from keras_transfer.data.class_folders import PART_NAMES
from keras_transfer.data.domains import NO_LABEL
from keras_transfer.data.splits import Splits
from keras_transfer.data.stratified import split_off
from keras_transfer.data.table_rows import table_rows
from keras_transfer.data.texts import make_text_splits

_PARTS = {name: part for part, names in PART_NAMES.items() for name in names}


def text_table(
    path: str | os.PathLike[str],
    *,
    text: str = "text",
    label: str | None = "label",
    preprocessor: keras.layers.Layer | None = None,
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.0,
    split: str | None = None,
    seed: int = 0,
    encoding: str = "utf-8",
) -> Splits:
    r"""Reads texts and their classes from a CSV or TSV file, `.gz` too.

    The file is quoted as Excel does, and its first row names the columns. The texts are held in
    memory. Splits are random, stratified by class, and the same for the same rows and seed.

    With a preprocessor, texts of similar length come in one batch, so that short ones do not pay
    for the padding of long ones: while training, texts are shuffled anew each epoch, sorted within
    windows of 50 batches, and these batches shuffled; validation and test come from the shortest
    to the longest. Without, they come in the order of the file.

    Args:
        path: str or path of a `.csv`, `.tsv`, `.csv.gz` or `.tsv.gz` file.
        text: str. The column of texts, which may be empty.
        label: str. The column of labels; their values, sorted, are the `class_names`. None for
            texts without, as the target of `kx.pair_domains`: they have the label -1, which is
            none, and `target_labels="ignore"` leaves it out.
        preprocessor: keras.layers.Layer from strings `(batch,)` to what the model gets, such as a
            dict of "token_ids" and "padding_mask". It runs in the pipeline, and cuts what is too
            long for it. None gives the strings.
        batch_size: int, at least 1.
        validation_split: float from 0 to 1. Share of the texts for `validation`, unless `split`
            says which they are.
        test_split: float from 0 to 1. Share of the texts for `test`, likewise.
        split: str. A column that says "train", "validation" (or "valid", "val") or "test" for
            each row; None if there is none.
        seed: int. Of the split and of the order of the training texts.
        encoding: str. Of the file, as Python calls it.

    Returns:
        `kx.Splits`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file has another name, is empty, lacks a column, cannot be decoded, or
            a row has too few or too many fields, no label or an unknown part; if there are fewer
            than two classes or too few examples of one, or of texts without labels; or
            `preprocessor` does not fit.

    Example:

    >>> import pathlib, tempfile
    >>> import keras_transfer as kx
    >>> path = pathlib.Path(tempfile.mkdtemp(), "reviews.csv")
    >>> _ = path.write_text("text,label\n" + "Loved it!,good\nA bore.,bad\n" * 5)
    >>> data = kx.text_table(path, validation_split=0.4)
    >>> data.class_names, [len(texts) for texts, labels in data.validation]
    (['bad', 'good'], [4])
    """
    columns = [column for column in (text, label, split) if column is not None]
    rows = table_rows(path, columns, encoding=encoding)
    class_names: list[str] = []
    if label is None:
        parts = _unlabelled_parts(rows, f"{os.fspath(path)}")
    else:
        parts, class_names = labelled_parts(rows, f"{os.fspath(path)}")
    shares = {"test": test_split, "validation": validation_split}
    return make_text_splits(
        split_off(parts, class_names, shares, seed),
        class_names=class_names,
        preprocessor=preprocessor,
        batch_size=batch_size,
        seed=seed,
    )


def labelled_parts(
    rows: Iterable[tuple[int, Sequence[str]]], source: str
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[str]]:
    """Texts as UTF-8 and labels by part, and the class names.

    Args:
        rows: the number of a line, and a text, a label and maybe the name of a part.
        source: where they come from, for error messages.

    Raises:
        ValueError: if a label is empty, the name of a part unknown, or there are fewer than two
            labels, or other ones in train than elsewhere.
    """
    texts: dict[str, list[bytes]] = {"train": []}
    labels: dict[str, list[str]] = {"train": []}
    for line, (text, label, *names) in rows:
        if not label.strip():
            raise ValueError(
                f"Expected a label in each row. Received: {source}, line {line}: none."
            )
        part = _part(names, f"{source}, line {line}")
        texts.setdefault(part, []).append(_utf8(text))
        labels.setdefault(part, []).append(label)
    class_names = _class_names(labels, source)
    numbers = {name: number for number, name in enumerate(class_names)}
    parts = {
        part: (np.array(found, object), np.array([numbers[x] for x in labels[part]], np.int32))
        for part, found in texts.items()
    }
    return parts, class_names


def _unlabelled_parts(
    rows: Iterable[tuple[int, Sequence[str]]], source: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same of rows that have no label."""
    texts: dict[str, list[bytes]] = {"train": []}
    for line, (text, *names) in rows:
        texts.setdefault(_part(names, f"{source}, line {line}"), []).append(_utf8(text))
    if not texts["train"]:
        raise ValueError(f"Expected rows to train on. Received: {source} with none.")
    return {
        part: (np.array(found, object), np.full(len(found), NO_LABEL, np.int32))
        for part, found in texts.items()
    }


def _utf8(text: str) -> bytes:
    """Some decoders give halves of surrogate pairs, which UTF-8 cannot say."""
    return text.encode("utf-8", "replace")


def _part(names: Sequence[str], place: str) -> str:
    """By the field that says it, if there is one."""
    part = _PARTS.get(names[0].strip().lower()) if names else "train"
    if part is None:
        raise ValueError(
            f"Expected one of {list(_PARTS)} in the column that divides the rows. "
            f"Received: {place}: {names[0]!r}."
        )
    return part


def _class_names(labels: dict[str, list[str]], source: str) -> list[str]:
    class_names = sorted(set(labels["train"]))
    unknown = sorted(set().union(*labels.values()) - set(class_names))
    if unknown:
        raise ValueError(
            "Expected training examples of each class. "
            f"Received: {source}, where none are of {unknown}."
        )
    if len(class_names) < 2:
        raise ValueError(
            f"Expected rows of at least two labels to train on. Received: {source} with "
            f"{len(labels['train'])} training rows, labels {class_names}."
        )
    return class_names
