"""What the frozen part of a model gives for each example, computed once and kept on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer._keras_home import keras_home
from keras_transfer._progress import track
from keras_transfer._version import __version__
from keras_transfer.caching.filling import fill
from keras_transfer.caching.layout import Layout, StoredDtype, check_dtype, layout_of
from keras_transfer.caching.rows import Rows
from keras_transfer.caching.sources import Source, source_of
from keras_transfer.caching.store import CacheEntry, CacheTooSmallError, Store
from keras_transfer.caching.views import Views
from keras_transfer.models.fingerprint import fingerprint

# Batches that wait for training; more would only take memory.
_PREFETCHED = 2


@dataclasses.dataclass(frozen=True)
class Found:
    """Features of a dataset.

    Attributes:
        dataset: tf.data.Dataset, with features in the place of pictures.
        entry: str, the name of the entry in the cache.
        rows: int, how many pictures or views of pictures.
        computed: int, how many of them were not in the cache.
        num_bytes: int, of all.
        views: int, of each picture.
        close: lets others remove them, when the dataset is no longer used.
    """

    dataset: tf.data.Dataset
    entry: str
    rows: int
    computed: int
    num_bytes: int
    views: int
    close: Callable[[], None]


class FeatureCache:
    """Keeps what the frozen part of a model gives, so that it runs once for each example.

    `kx.fine_tune` uses one by itself. Give it another with `cache=` to choose the folder, the
    precision or the size; or use it by hand with the parts of `kx.split_frozen`.

    Features are found by content: that of the picture, with its size and resizing; that of the
    frozen part, its weights and its graph; and the versions of TensorFlow, Keras and this package.
    Several processes may use a folder at once. What is on disk is checked before it is used, and
    computed again where it is damaged; a process that is killed loses at most the last 15 seconds
    of work.

    Args:
        directory: folder. Defaults to one beside what Keras downloads.
        dtype: "float32", "float16" or "bfloat16", what floats are stored as; None for what the
            frozen part gives, which is exact. A number is off by at most 2^-11 of itself in
            float16 (from 6e-5 to 65504, above it raises; below by 3e-8) and 2^-8 in bfloat16.
        views: int, at least 1: how many augmented views of each training picture are stored where
            `kx.fine_tune` gets an `augmentation`. Each comes once in so many epochs. None to
            augment anew in each epoch, without a cache.
        max_gigabytes: float, the most that the folder may hold, in 10^9 bytes. What was not used
            for longest is removed.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import tempfile
    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> data = kx.arrays(np.zeros([8, 32, 32, 3], "uint8"), [0, 1] * 4, validation_split=0.25)
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> model = kx.Classifier(backbone, 2)
    >>> kx.FeatureExtraction().apply(model)
    >>> frozen_part, tail = kx.split_frozen(model)
    >>> cache = kx.FeatureCache(tempfile.mkdtemp())
    >>> train = cache.features(frozen_part, data.train)
    >>> train.element_spec[0].shape
    TensorShape([None, 1280])
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        dtype: StoredDtype | None = None,
        views: int | None = None,
        max_gigabytes: float = 10.0,
    ):
        check_dtype(dtype)
        if views is not None and views < 1:
            raise ValueError(f"Expected `views` to be at least 1. Received: views={views}.")
        if max_gigabytes <= 0:
            raise ValueError(f"Expected `max_gigabytes` to be above 0. Received: {max_gigabytes}.")
        self.directory = pathlib.Path(directory or keras_home() / "keras_transfer" / "features")
        self.dtype = dtype
        self.views = views
        self.max_gigabytes = max_gigabytes
        self._store = Store(self.directory, int(max_gigabytes * 1e9))

    def features(
        self,
        frozen_part: keras.Model,
        dataset: tf.data.Dataset,
        augmentation: keras.Model | None = None,
        *,
        verbose: bool = True,
    ) -> tf.data.Dataset:
        """The dataset with features in the place of pictures, in the same order.

        What is not in the cache is computed now. Of what is large, batches are read from the disk
        as they are needed. Datasets that this package made are not decoded again; other pipelines
        run on in each epoch, and their pictures are looked up.

        Args:
            frozen_part: keras.Model, such as `kx.split_frozen` gives.
            dataset: tf.data.Dataset of batches `(pictures, labels)`, finite.
            augmentation: keras.Model that changes pictures at random, for `views`.
            verbose: bool. Whether to show progress.

        Raises:
            ValueError: if the dataset gives other pictures in every epoch, or features have no
                fixed shape or are too large for their dtype.
            RuntimeError: if the features do not fit into the cache.
            OSError: if the folder cannot be written.
        """
        return self.find(frozen_part, dataset, augmentation, verbose=verbose).dataset

    def find(
        self,
        frozen_part: keras.Model,
        dataset: tf.data.Dataset,
        augmentation: keras.Model | None = None,
        *,
        verbose: bool = True,
    ) -> Found:
        """As `features`, with what it took."""
        layout = layout_of(frozen_part, self.dtype)
        views = None if augmentation is None else Views(augmentation, self.views or 1)
        source = source_of(dataset)
        digests = source.digests if views is None else views.digests(source.digests)
        name, about = _name(frozen_part, layout), _about(frozen_part, layout)
        folder = self._store.entry(name, about)
        rows = Rows(folder, digests, layout.row_bytes)
        computed = 0
        if rows.missing.any():
            self._store.check_size(len(digests) * layout.row_bytes)
            with self._store.lock(folder):
                rows = Rows(folder, digests, layout.row_bytes)  # others may have been faster
                computed = int(rows.missing.sum())
                batches = _batches(source, rows.missing, views, digests)
                pictures = track(batches, "Running the frozen part once", show=verbose)
                make_room = self._store.make_room
                fill(folder, frozen_part, layout, pictures, digests, make_room)
            rows = Rows(folder, digests, layout.row_bytes)
        if rows.missing.any():
            raise CacheTooSmallError("what was written has been removed by another process")
        read = rows.reader()

        def lookup(numbers: tf.Tensor) -> Any:
            return layout.unpack(read(numbers))

        if views is None:
            made = source.with_features(lookup)
        else:
            made = views.in_turn(source.with_features(tf.identity), lookup)
        ready = made.prefetch(_PREFETCHED)
        size = len(digests) * layout.row_bytes
        count = 1 if views is None else views.count
        return Found(ready, name, len(digests), computed, size, count, rows.close)

    def entries(self) -> list[CacheEntry]:
        """What is stored, that used last first."""
        return self._store.entries()

    def remove(self, name: str) -> bool:
        """Removes an entry by its name; False where others are reading some of it."""
        return self._store.remove(name)


def _batches(
    source: Source, missing: np.ndarray, views: Views | None, digests: list[bytes]
) -> Iterator[tuple[tf.Tensor, Any]]:
    """What is missing: numbers of rows, and what the frozen part gets."""
    if views is None:
        yield from source.pictures(missing)
        return
    for view, wanted in enumerate(missing.reshape(-1, views.count).T):
        for numbers, pictures in source.pictures(wanted):
            rows = numbers * views.count + view
            yield rows, views.augment(pictures, digests[int(rows[0])])


def _name(frozen_part: keras.Model, layout: Layout) -> str:
    """Of the entry, by all that features follow from besides the pictures."""
    versions = (__version__, keras.__version__, tf.__version__)
    told = repr((fingerprint(frozen_part), layout, versions))
    return hashlib.blake2b(told.encode(), digest_size=12).hexdigest()


def _about(frozen_part: keras.Model, layout: Layout) -> dict[str, object]:
    """For people who list the cache."""
    inner = [layer.name for layer in frozen_part.layers if isinstance(layer, keras.Model)]
    return {
        "model": ", ".join(inner) or f"up to {frozen_part.layers[-1].name}",
        "shapes": [f"{part.stored.name} {part.shape}" for part in layout.parts],
        "row_bytes": layout.row_bytes,
    }
