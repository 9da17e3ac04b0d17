"""The one pipeline of texts: shuffle, tokenize texts of one length together, prefetch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer._progress import track
from keras_transfer.data.examples import Examples
from keras_transfer.data.preprocessors import as_function, lengths, pads, settings_of
from keras_transfer.data.splits import Splits, check_batch_size

_COUNTED_AT_ONCE = 64


def make_text_splits(
    parts: dict[str, tuple[np.ndarray, np.ndarray]],
    *,
    class_names: list[str],
    preprocessor: keras.layers.Layer | None,
    batch_size: int,
    seed: int,
    read: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    contents: Callable[[np.ndarray], Iterable[bytes]] = iter,
) -> Splits:
    """Datasets of texts, of strings or of what a preprocessor makes of them.

    With a preprocessor that pads to the longest text of a batch, texts of one length come
    together: while training within windows of shuffled texts, the batches of which come in any
    order; else from the shortest to the longest.

    Args:
        parts: for "train" and maybe "validation" and "test", bytes (texts in UTF-8, or paths) and
            int labels, as many.
        class_names: see `kx.Splits`.
        preprocessor: keras.layers.Layer from strings `(batch,)` to what a model gets; None for
            the strings.
        batch_size: int, at least 1. The last batch of an epoch may be smaller.
        seed: int. Of the order of the training texts.
        read: maps a batch of what `parts` has to its texts, in TensorFlow ops.
        contents: gives the bytes behind what `parts` has, one by one.

    Raises:
        ValueError: if `batch_size` is out of range, or the preprocessor is no layer or gives
            something else than dense tensors.
    """
    check_batch_size(batch_size)
    settings, preprocess, padded = "texts", None, False
    if preprocessor is not None:
        preprocess, settings = as_function(preprocessor), settings_of(preprocessor)
        padded = pads(preprocess)

    arranged, padding = dict(parts), {}
    for part, (sources, labels) in parts.items() if padded else ():
        sizes = _lengths(sources, read, preprocess)
        order = np.argsort(sizes, kind="stable")
        arranged[part], padding[part] = (sources[order], labels[order]), sizes[order]
    # All parts in one, so that the same functions load any of them.
    columns = [np.concatenate(column) for column in zip(*arranged.values(), strict=True)]
    texts, targets = tf.constant(columns[0], tf.string), tf.constant(columns[1], tf.int32)

    def load(numbers: tf.Tensor) -> Any:
        read_texts = read(tf.gather(texts, numbers))
        return read_texts if preprocess is None else preprocess(read_texts)

    def label(numbers: tf.Tensor) -> tf.Tensor:
        return tf.gather(targets, numbers)

    def batches(part: str) -> tf.data.Dataset | None:
        if part not in parts:
            return None
        names = list(arranged)
        start = sum(len(arranged[name][0]) for name in names[: names.index(part)])
        sources = arranged[part][0]
        in_order = tf.data.Dataset.range(start, start + len(sources)).enumerate()
        examples = Examples(
            in_order,
            in_order,
            load=load,
            label=label,
            contents=lambda: contents(sources),
            settings=settings,
            batch_size=batch_size,
            batched=True,
            lengths=padding.get(part),
            shuffle_buffer=max(1, len(sources)),
        )
        dataset = (examples.reshuffled(seed) if part == "train" else examples).dataset()
        if preprocessor is not None:
            dataset.preprocessor = preprocessor
        return dataset

    return Splits(
        train=batches("train"),
        validation=batches("validation"),
        test=batches("test"),
        class_names=class_names,
        image_size=None,
        resize=None,
        num_train=len(parts["train"][0]),
        preprocessor=preprocessor,
    )


def _lengths(sources: np.ndarray, read: Any, preprocess: Any) -> np.ndarray:
    """Tokenizing once to know them costs a fraction of what padding costs in every epoch."""
    batches = tf.data.Dataset.from_tensor_slices(tf.constant(sources, tf.string))
    counts = batches.batch(_COUNTED_AT_ONCE).map(
        lambda batch: lengths(preprocess, read(batch)), num_parallel_calls=tf.data.AUTOTUNE
    )
    steps = int(counts.cardinality())
    return np.concatenate([batch.numpy() for batch in track(counts, "Counting", total=steps)])
