"""Train, validation and test data with what they have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.data.examples import Examples
from keras_transfer.data.resizing import Resize, resize_picture


@dataclasses.dataclass(frozen=True)
class Splits:
    """Datasets of batches `(pictures, labels)` or `(texts, labels)`, ready for `fit`.

    Attributes:
        train: tf.data.Dataset. Pictures float32 `(batch, height, width, 3)` from 0 to 255; texts
            strings `(batch,)`, UTF-8, or what `preprocessor` makes of them; labels int32
            `(batch,)`. Shuffled anew each epoch, the same way for the same seed.
        validation: tf.data.Dataset, or None where there is none. In a fixed order.
        test: tf.data.Dataset, or None where there is none. In a fixed order.
        class_names: list of str. The name of each label; empty for numbers to be predicted, and
            for data without labels.
        image_size: tuple (height, width) in pixels; None for texts.
        resize: "stretch", "crop" or "pad": how pictures were brought to `image_size`; None for
            texts. `kx.fine_tune` and `kx.evaluate` note it on the model for `kx.export`; pass it
            there where a model saw neither.
        num_train: int. How many training examples there are.
        preprocessor: the Keras layer that texts went through, which is noted on the datasets as
            well; None for pictures, and for texts as they are.
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    class_names: list[str]
    image_size: tuple[int, int] | None
    resize: Resize | None
    num_train: int
    preprocessor: keras.layers.Layer | None = None


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
    """The one pipeline of pictures: shuffle what is small, load, resize, batch, prefetch.

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
        in_order = parts[part].enumerate()
        examples = Examples(
            in_order,
            in_order,
            resized,
            label,
            lambda: contents(part),
            f"{size} {resize}",
            batch_size,
            shuffle_buffer=shuffle_buffer or max(1, int(in_order.cardinality())),
        )
        dataset = (examples.reshuffled(seed) if part == "train" else examples).dataset()
        dataset.resize = resize  # as Keras notes `class_names` on its datasets
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
    for note in ("resize", "preprocessor", "class_names"):
        if hasattr(source, note):
            setattr(dataset, note, getattr(source, note))
    return dataset


def _check_sizes(image_size: tuple[int, int], batch_size: int) -> None:
    if len(image_size) != 2 or min(image_size) < 1:
        raise ValueError(
            f"Expected `image_size` to be (height, width) in pixels. Received: {image_size}."
        )
    check_batch_size(batch_size)


def check_batch_size(batch_size: int) -> None:
    """Raises a `ValueError` unless batches can be of that size."""
    if batch_size < 1:
        raise ValueError(f"Expected `batch_size` to be at least 1. Received: {batch_size}.")
