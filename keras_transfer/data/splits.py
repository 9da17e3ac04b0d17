"""Train, validation and test data with what they have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_transfer.data.examples import Examples
from keras_transfer.data.resizing import Resize, resize_picture


@dataclasses.dataclass(frozen=True)
class Splits:
    """Datasets of batches `(pictures, labels)`, ready for `fit` and `evaluate`.

    Attributes:
        train: tf.data.Dataset. Pictures float32 `(batch, height, width, 3)` from 0 to 255;
            labels int32 `(batch,)`. Shuffled anew each epoch, the same way for the same seed.
        validation: tf.data.Dataset, or None where there is none. In a fixed order.
        test: tf.data.Dataset, or None where there is none. In a fixed order.
        class_names: list of str. The name of each label; empty for numbers to be predicted.
        image_size: tuple (height, width) in pixels.
        resize: "stretch", "crop" or "pad": how pictures were brought to `image_size`.
            `kx.fine_tune` and `kx.evaluate` note it on the model for `kx.export`; pass it there
            where a model saw neither.
        num_train: int. How many training pictures there are.
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    class_names: list[str]
    image_size: tuple[int, int]
    resize: Resize
    num_train: int


def stratified_indices(
    labels: np.ndarray, class_names: Sequence[str], fractions: dict[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Divides examples into "train" and the named parts, each with the classes in proportion.

    Args:
        labels: int array `(n,)`. Without class names any array `(n, ...)`: a plain random split.
        class_names: the name of each label, for the error messages.
        fractions: the share of all examples that each part other than "train" gets, 0 to 1.
        seed: int. The same seed gives the same split.

    Returns:
        For each part, the indices of its examples in ascending order. A part with a share of 0
        is left out.

    Raises:
        ValueError: if the shares leave nothing for training, or a class has too few examples.

    Example:

    >>> parts = stratified_indices(np.array([0] * 4 + [1] * 4), "ab", {"test": 0.5}, seed=0)
    >>> np.bincount(parts["test"] // 4).tolist()
    [2, 2]
    """
    if min(fractions.values()) < 0 or sum(fractions.values()) >= 1:
        raise ValueError(
            "Expected the shares of validation and test data to be at least 0 and to leave "
            f"something for training. Received: {fractions}."
        )
    parts, rest = {}, np.arange(len(labels))
    for part, fraction in fractions.items():
        if fraction:
            count = max(1, round(fraction * len(labels)))
            rest, parts[part] = _split(rest, labels, class_names, count, seed)
    return {"train": rest, **parts}


def _split(
    indices: np.ndarray, labels: np.ndarray, class_names: Sequence[str], count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split

    chosen = labels[indices]
    if class_names:
        counts = np.bincount(chosen, minlength=len(class_names))
        _check_counts(counts, class_names, count)
    rest, part = train_test_split(
        indices, test_size=count, random_state=seed, stratify=chosen if class_names else None
    )
    for side in (rest, part):
        lost = sorted(set(chosen) - set(labels[side])) if class_names else []
        if lost:
            raise ValueError(
                "Expected some of each class on both sides of the split: add examples or choose "
                f"other shares. Received: {len(side)} on one side, none of "
                f"{[class_names[label] for label in lost]}."
            )
    return np.sort(rest), np.sort(part)


def _check_counts(counts: np.ndarray, class_names: Sequence[str], count: int) -> None:
    few = {name: int(n) for name, n in zip(class_names, counts, strict=True) if n < 2}
    if few:
        raise ValueError(
            "Expected at least 2 examples of each class, to have some on both sides of the "
            f"split: add examples or remove the class. Received: {few}."
        )
    if min(count, counts.sum() - count) < len(class_names):
        raise ValueError(
            f"Expected each part to hold at least one example of each of the {len(class_names)} "
            "classes: add examples or choose other shares. "
            f"Received: {counts.sum()} examples, of which {count} are to be split off."
        )


def make_splits(
    parts: dict[str, tf.data.Dataset],
    *,
    picture: Callable[[Any], tf.Tensor],
    label: Callable[[Any], tf.Tensor],
    contents: Callable[[str], Iterable[bytes]],
    class_names: list[str],
    image_size: tuple[int, int],
    resize: Resize,
    batch_size: int,
    seed: int,
    shuffle_buffer: int | None = None,
) -> Splits:
    """The one pipeline: shuffle what is small, load and resize in parallel, batch, prefetch.

    Args:
        parts: for "train" and maybe "validation" and "test", a dataset of known length of what
            is cheap to shuffle (paths, indices).
        picture: maps one element to a picture of any size, in TensorFlow ops.
        label: maps one element to its label, or a batch of them to theirs.
        contents: gives, by the name of a part, the bytes that its pictures are made from.
        class_names: see `Splits`, as the two arguments that follow.
        image_size: see there.
        resize: see there.
        batch_size: int, at least 1. The last batch of an epoch may be smaller.
        seed: int. Of the order of the training examples.
        shuffle_buffer: how many elements are held in memory to shuffle. Defaults to all.

    Raises:
        ValueError: if the size of pictures or batches is out of range.
    """
    _check_sizes(image_size, batch_size)
    size = (int(image_size[0]), int(image_size[1]))

    @tf.function(autograph=False)  # traced once, wherever pictures are loaded
    def resized(example: Any) -> tf.Tensor:
        return resize_picture(picture(example), size, resize)

    def batches(part: str) -> tf.data.Dataset | None:
        if part not in parts:
            return None
        in_order = shuffled = parts[part].enumerate()
        if part == "train":
            buffer = shuffle_buffer or max(1, int(in_order.cardinality()))
            shuffled = in_order.shuffle(buffer, seed=seed)
        loaded = shuffled.map(
            lambda _, example: (resized(example), label(example)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        dataset = loaded.batch(batch_size).prefetch(tf.data.AUTOTUNE)
        dataset.resize = resize  # as Keras notes `class_names` on its datasets
        dataset.examples = Examples(
            in_order,
            shuffled,
            resized,
            label,
            lambda: contents(part),
            f"{size} {resize}",
            batch_size,
        )
        return dataset

    return Splits(
        train=batches("train"),
        validation=batches("validation"),
        test=batches("test"),
        class_names=class_names,
        image_size=size,
        resize=resize,
        num_train=int(parts["train"].cardinality()),
    )


def keep_notes(dataset: tf.data.Dataset, source: tf.data.Dataset) -> tf.data.Dataset:
    """Notes on a dataset what was noted on the one that it was made of, and returns it."""
    for note in ("resize", "class_names"):
        if hasattr(source, note):
            setattr(dataset, note, getattr(source, note))
    return dataset


def _check_sizes(image_size: tuple[int, int], batch_size: int) -> None:
    if len(image_size) != 2 or min(image_size) < 1:
        raise ValueError(
            f"Expected `image_size` to be (height, width) in pixels. Received: {image_size}."
        )
    if batch_size < 1:
        raise ValueError(f"Expected `batch_size` to be at least 1. Received: {batch_size}.")
