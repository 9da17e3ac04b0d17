"""The features of one frozen part: finds them, computes what is missing."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_transfer._progress import track
from keras_transfer._version import __version__
from keras_transfer.caching.filling import fill
from keras_transfer.caching.layout import Layout, StoredDtype, layout_of
from keras_transfer.caching.rows import Rows
from keras_transfer.caching.runner import Runner, check_padding
from keras_transfer.caching.sources import Source, source_of
from keras_transfer.caching.store import CacheTooSmallError, Store
from keras_transfer.caching.views import Views
from keras_transfer.models.fingerprint import fingerprint

# Batches that wait for training; more would only take memory.
_PREFETCHED = 2


@dataclasses.dataclass(frozen=True)
class Found:
    """Features of a dataset.

    Attributes:
        through: gives the dataset, with features in the place of pictures and each batch put
            through a function: one map is quicker to start than two.
        rows: int, how many pictures or views of pictures.
        computed: int, how many of them were not in the cache.
        num_bytes: int, of all.
        views: int, of each picture.
        close: lets others remove them, when the dataset is no longer used.
    """

    through: Callable[[Callable[..., Any]], tf.data.Dataset]
    rows: int
    computed: int
    num_bytes: int
    views: int
    close: Callable[[], None]

    def dataset(self) -> tf.data.Dataset:
        """The features as they are."""
        return self.through(lambda *batch: batch).prefetch(_PREFETCHED)


class FrozenFeatures:
    """What a frozen part gives, in a store.

    Args:
        frozen_part: keras.Model, functional, its weights as they are now.
        store: where features are kept.
        dtype: see `kx.FeatureCache`.
        views: int, of each picture where there is an augmentation.
        verbose: bool. Whether to show progress.

    Raises:
        NotExactError: if a layer has no config, or features have no fixed shape.
        OSError: if the store cannot be written.
    """

    def __init__(
        self,
        frozen_part: keras.Model,
        store: Store,
        *,
        dtype: StoredDtype | None,
        views: int,
        verbose: bool,
    ):
        self._run = Runner(frozen_part)
        self._store = store
        self._views = views
        self._verbose = verbose
        self._layout = layout_of(frozen_part, dtype)
        self.name = _name(frozen_part, self._layout)
        self._folder = store.entry(self.name, _about(frozen_part, self._layout))

    def find(self, dataset: tf.data.Dataset, augmentation: keras.Model | None = None) -> Found:
        """Features of a dataset; see `kx.FeatureCache.features`."""
        views = None if augmentation is None else Views(augmentation, self._views)
        source = source_of(dataset)
        digests = source.digests if views is None else views.digests(source.digests)
        rows, computed = self._complete(source, views, digests)
        read, layout = rows.reader(), self._layout

        def lookup(numbers: tf.Tensor) -> Any:
            return layout.unpack(read(numbers))

        def through(then: Callable[..., Any]) -> tf.data.Dataset:
            if views is None:
                return source.with_features(lookup, then)
            numbers = source.with_features(tf.identity, lambda *batch: batch)
            return views.in_turn(numbers, lookup, then)

        return Found(
            through=through,
            rows=len(digests),
            computed=computed,
            num_bytes=len(digests) * layout.row_bytes,
            views=1 if views is None else views.count,
            close=rows.close,
        )

    def _complete(
        self, source: Source, views: Views | None, digests: list[bytes]
    ) -> tuple[Rows, int]:
        """The rows of all examples, and how many had to be computed."""
        row_bytes, computed = self._layout.row_bytes, 0
        rows = Rows(self._folder, digests, row_bytes)
        if rows.missing.any():
            self._store.check_size(len(digests) * row_bytes)
            if (padded_twice := source.padded_twice()) is not None:
                check_padding(self._run, padded_twice)
            with self._store.waiting_lock(self._folder):
                rows = Rows(self._folder, digests, row_bytes)  # others may have been faster
                computed = int(rows.missing.sum())
                self._fill(_batches(source, rows.missing, views, digests), digests)
            rows = Rows(self._folder, digests, row_bytes)
        if rows.missing.any():
            raise CacheTooSmallError("what was written has been removed by another process")
        return rows, computed

    def _fill(self, batches: Iterator[tuple[tf.Tensor, Any]], digests: list[bytes]) -> None:
        shown = track(batches, "Running the frozen part once", show=self._verbose)
        fill(self._folder, self._run, self._layout, shown, digests, self._store.make_room)


def _batches(
    source: Source, missing: np.ndarray, views: Views | None, digests: list[bytes]
) -> Iterator[tuple[tf.Tensor, Any]]:
    """What is missing: numbers of rows, and what the frozen part gets."""
    if views is None:
        yield from source.inputs(missing)
        return
    for view, wanted in enumerate(missing.reshape(-1, views.count).T):
        for numbers, pictures in source.inputs(wanted):
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
