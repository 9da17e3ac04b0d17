"""Data sets of pictures and of texts of tensorflow_datasets."""

from __future__ import annotations

import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.resizing import Resize, check_resize
from keras_transfer.data.splits import Splits, make_splits
from keras_transfer.data.texts import make_text_splits

# Encoded pictures are held in memory to shuffle them; they were shuffled when prepared.
_SHUFFLE_BUFFER = 10_000
_TEXTS_AT_ONCE = 1_000


def tfds(
    name: str,
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.0,
    seed: int = 0,
    resize: Resize = "stretch",
    text: str | None = None,
    preprocessor: keras.layers.Layer | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Splits:
    """Reads a data set of pictures or texts, and labels, through tensorflow_datasets.

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
        text: str. The feature that holds the texts, where the data set does not say it itself:
            "sentence" for "glue/sst2". Texts are held in memory; a split whose labels are hidden
            (all -1) is left out.
        preprocessor: see `kx.text_table`; for texts alone.
        data_dir: where tensorflow_datasets keeps its data. Defaults to its own default.

    Returns:
        `kx.Splits`.

    Raises:
        ImportError: if tensorflow_datasets is not installed.
        ValueError: if the data set has no split "train", or no picture or text with a class label.

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
    key, label_key, class_names = _keys(builder, text)
    parts = _parts(_splits(builder), validation_split, test_split)
    if text is not None or _is_text(builder.info.features[key]):
        return make_text_splits(
            _in_memory(builder, parts, key, label_key),
            class_names=class_names,
            preprocessor=preprocessor,
            batch_size=batch_size,
            seed=seed,
        )
    if preprocessor is not None:
        raise ValueError(
            "Expected a data set of texts for `preprocessor`; `text=` names the feature that holds "
            f"them. Received: {name!r}, features {builder.info.features}."
        )
    decoders = {key: _skip_decoding()}
    sets = {part: builder.as_dataset(split=s, decoders=decoders) for part, s in parts.items()}
    return make_splits(
        sets,
        picture=lambda example: decode_picture(example[key]),
        label=lambda example: tf.cast(example[label_key], tf.int32),
        contents=lambda part: (
            encoded
            for batch in sets[part].map(lambda example: example[key]).batch(64)
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


def _keys(builder: Any, text: str | None) -> tuple[str, str, list[str]]:
    """The features of pictures or texts and of labels, and the class names."""
    features = builder.info.features
    keys = list(builder.info.supervised_keys or [])[:2]
    if text is not None:
        keys = [text, *(keys[1:] or [k for k in features if hasattr(features[k], "names")])]
    known = len(keys) == 2 and keys[0] in features and hasattr(features[keys[1]], "names")
    if not known or "train" not in _splits(builder):
        raise ValueError(
            "Expected a data set with a split 'train', pictures and class labels, or texts and "
            "class labels; `text=` names the feature that holds texts. Received: "
            f"{builder.name}, text={text!r}, splits {list(builder.info.splits)}, features "
            f"{features}."
        )
    return keys[0], keys[1], list(features[keys[1]].names)


def _is_text(feature: Any) -> bool:
    import tensorflow_datasets

    return isinstance(feature, tensorflow_datasets.features.Text)


def _in_memory(
    builder: Any, parts: dict[str, str], key: str, label_key: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {}
    for part, split in parts.items():
        pairs = builder.as_dataset(split=split).map(lambda x: (x[key], x[label_key]))
        batches = list(pairs.batch(_TEXTS_AT_ONCE).as_numpy_iterator())
        texts, labels = (np.concatenate(column) for column in zip(*batches, strict=True))
        if part == "train" or (labels >= 0).any():
            found[part] = (texts, labels)
    return found


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
