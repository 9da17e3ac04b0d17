"""Features of a dataset; those of two domains side by side are each found by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.caching.frozen_features import Found, FrozenFeatures
from keras_transfer.data.domains import domains_of, paired_like


def find_features(
    features: FrozenFeatures, dataset: tf.data.Dataset, augmentation: keras.Model | None = None
) -> Found:
    """The features of a dataset, or of both datasets of `kx.pair_domains`, paired again.

    So a source alone and the same source beside a target share what is in the cache.

    Args:
        features: of a frozen part.
        dataset: see `kx.FeatureCache.features`.
        augmentation: see there.

    Raises:
        NotExactError: see `FrozenFeatures`.
    """
    domains = domains_of(dataset)
    if domains is None:
        return features.find(dataset, augmentation)
    found = {name: features.find(part, augmentation) for name, part in domains.items()}

    def through(then: Callable[..., Any]) -> tf.data.Dataset:
        parts = {name: _alone(part, domains[name]) for name, part in found.items()}
        return paired_like(dataset, parts).map(then)

    return _both(list(found.values()), through)


def _alone(found: Found, dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The features of one domain; counting them again would read them all."""
    counted = tf.data.experimental.assert_cardinality(int(dataset.cardinality()))
    return found.through(lambda *batch: batch).apply(counted)


def _both(found: list[Found], through: Callable[..., tf.data.Dataset]) -> Found:
    def close() -> None:
        for part in found:
            part.close()

    return Found(
        through=through,
        rows=sum(part.rows for part in found),
        computed=sum(part.computed for part in found),
        num_bytes=sum(part.num_bytes for part in found),
        views=found[0].views,
        close=close,
    )
