"""Picture data sets of tensorflow_datasets."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.resizing import Resize, check_resize
from keras_transfer.data.splits import Splits, make_splits

# Encoded pictures are held in memory to shuffle them; they were shuffled when prepared.
_SHUFFLE_BUFFER = 10_000


def tfds(
    name: str,
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.0,
    seed: int = 0,
    resize: Resize = "stretch",
    data_dir: str | os.PathLike[str] | None = None,
) -> Splits:
    """Reads a data set of pictures and labels through tensorflow_datasets.

    Splits named "train", "validation" and "test" are taken as they are; a missing one is split
    off "train" where its share is not 0. `"emoji_styles/noto"` (or `/twemoji`, `/openmoji`) is
    the bundled sample as a data set of this kind. Needs `pip install keras-transfer[tfds]`.

    Args:
        name: str. As in `tensorflow_datasets.load`: a name, with `/config` and `:version`.
        image_size: see `kx.image_folder`, as the arguments that follow.
        batch_size: see there.
        validation_split: see there; tensorflow_datasets shuffles examples when it prepares
            them, so the share is random but not stratified.
        test_split: see there.
        seed: int. Of the order while training.
        resize: see there.
        data_dir: where tensorflow_datasets keeps its data. Defaults to its own default.

    Returns:
        `kx.Splits`.

    Raises:
        ImportError: if tensorflow_datasets is not installed.
        ValueError: if the data set has no split "train" or no picture with a class label.

    Example:

    >>> import contextlib, io, tempfile
    >>> import keras_transfer as kx
    >>> with contextlib.redirect_stdout(io.StringIO()):  # it tells of its preparations
    ...     data = kx.tfds("emoji_styles/noto", image_size=(32, 32), data_dir=tempfile.mkdtemp())
    >>> int(data.train.cardinality()), data.class_names[0]
    (20, 'activities')
    """
    check_resize(resize)
    builder = _prepared(name, data_dir)
    image_key, label_key, class_names = _keys(builder)

    decoders = {image_key: _skip_decoding()}
    parts = _parts(_splits(builder), validation_split, test_split)
    sets = {part: builder.as_dataset(split=s, decoders=decoders) for part, s in parts.items()}
    return make_splits(
        sets,
        picture=lambda example: decode_picture(example[image_key]),
        label=lambda example: tf.cast(example[label_key], tf.int32),
        contents=lambda part: (
            encoded
            for batch in sets[part].map(lambda example: example[image_key]).batch(64)
            for encoded in batch.numpy()
        ),
        class_names=class_names,
        image_size=image_size,
        resize=resize,
        batch_size=batch_size,
        seed=seed,
        shuffle_buffer=_SHUFFLE_BUFFER,
    )


def _prepared(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    import tensorflow_datasets

    import keras_transfer.data.emoji_styles_dataset_builder  # noqa: F401  registers itself

    builder = tensorflow_datasets.builder(name, data_dir=data_dir)
    builder.download_and_prepare()
    return builder


def _skip_decoding() -> Any:
    """The package decodes pictures itself, as the exported model will."""
    import tensorflow_datasets

    return tensorflow_datasets.decode.SkipDecoding()


def _keys(builder: Any) -> tuple[str, str, list[str]]:
    keys, features = builder.info.supervised_keys, builder.info.features
    if not keys or not hasattr(features[keys[1]], "names") or "train" not in _splits(builder):
        raise ValueError(
            "Expected a data set with a split 'train', pictures and class labels. "
            f"Received: {builder.name}, splits {list(builder.info.splits)}, features {features}."
        )
    return keys[0], keys[1], list(features[keys[1]].names)


def _splits(builder: Any) -> list[str]:
    """tensorflow_datasets' own mocking knows no splits; what is prepared always has some."""
    return list(builder.info.splits) or ["train"]


def _parts(found: list[str], validation_split: float, test_split: float) -> dict[str, str]:
    """Which slice of which split each part is, in tensorflow_datasets' slicing language."""
    shares = {"test": test_split, "validation": validation_split}
    parts, end = {}, 100
    for part, share in shares.items():
        if part in found:
            parts[part] = part
        elif share:
            start = end - round(100 * share)
            parts[part], end = f"train[{start}%:{end}%]", start
    if end <= 0:
        raise ValueError(
            "Expected the shares of validation and test data to leave something for training. "
            f"Received: {shares}."
        )
    return {"train": f"train[:{end}%]" if end < 100 else "train", **parts}
