"""What the frozen part of a model gives for each example, computed once and kept on disk."""

from __future__ import annotations

import os
import pathlib

import keras
import tensorflow as tf

from keras_transfer.caching.entries import CacheEntry
from keras_transfer.caching.frozen_features import FrozenFeatures
from keras_transfer.caching.layout import StoredDtype, check_dtype
from keras_transfer.caching.paired import find_features
from keras_transfer.caching.store import Store, default_directory


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
        self.directory = pathlib.Path(directory or default_directory())
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
            dataset: tf.data.Dataset of batches `(pictures, labels)`, finite; or what
                `kx.pair_domains` makes, whose two datasets are looked up one by one.
            augmentation: keras.Model that changes pictures at random, for `views`.
            verbose: bool. Whether to show progress.

        Raises:
            ValueError: if the dataset gives other pictures in every epoch, or features have no
                fixed shape or are too large for their dtype.
            RuntimeError: if the features do not fit into the cache.
            OSError: if the folder cannot be written.
        """
        opened = self.open(frozen_part, verbose=verbose)
        return find_features(opened, dataset, augmentation).dataset()

    def open(self, frozen_part: keras.Model, *, verbose: bool = True) -> FrozenFeatures:
        """The features of a frozen part, of all datasets: its weights are read once."""
        return FrozenFeatures(
            frozen_part, self._store, dtype=self.dtype, views=self.views or 1, verbose=verbose
        )

    def entries(self) -> list[CacheEntry]:
        """What is stored, that used last first."""
        return self._store.entries()

    def remove(self, name: str) -> bool:
        """Removes an entry by its name; False where others are reading some of it."""
        return self._store.remove(name)
