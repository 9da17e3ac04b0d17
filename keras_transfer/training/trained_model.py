"""Which model is trained where another is compiled and fitted: that which is adapted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.adaptation.batches import check_target_labels, is_pair
from keras_transfer.adaptation.domain_adaptation import DomainAdaptation
from keras_transfer.adaptation.on_features import AdaptationOnFeatures
from keras_transfer.data.domains import domains_of
from keras_transfer.models.backbone_and_head import check_not_wrapper
from keras_transfer.models.exactness import NotExactError
from keras_transfer.models.split_frozen import split_frozen


def trained_model(model: keras.Model) -> keras.Model:
    """What strategies, regularizers and rates by depth are for; it may be inside the model.

    Raises:
        ValueError: if it is another model that trains one.
    """
    if isinstance(model, DomainAdaptation):
        return model.model
    check_not_wrapper(model)
    return model


def split(model: keras.Model, *datasets: Any) -> tuple[keras.Model, keras.Model]:
    """The frozen part, and what is compiled and fitted on its features; see `split_frozen`.

    Args:
        model: keras.Model, with a `kx.DomainAdaptation` what it compares features of.
        datasets: those of which there are to be features.

    Raises:
        NotExactError: if it cannot be done.
    """
    if not isinstance(model, DomainAdaptation):
        return split_frozen(model)
    for dataset in datasets:
        if holds_pairs(dataset) and domains_of(dataset) is None:
            raise NotExactError(
                "pairs were changed after `kx.pair_domains`; change source and target before it."
            )
    frozen_part, tail = split_frozen(model.feature_model)
    return frozen_part, AdaptationOnFeatures(model, tail)


def holds_pairs(dataset: Any) -> bool:
    """Whether a dataset has batches of a source and a target side by side."""
    spec = getattr(dataset, "element_spec", None)
    return isinstance(spec, tuple) and is_pair(spec[0])


def check_pairs(
    model: keras.Model, train: tf.data.Dataset, validation: Any, not_for_pairs: dict[str, Any]
) -> None:
    """Checks that pairs of domains go with a model that is adapted, and nothing else does.

    Args:
        model: keras.Model.
        train: tf.data.Dataset.
        validation: what is evaluated.
        not_for_pairs: settings that are for other models, by name.

    Raises:
        ValueError: if they do not, or such a setting is given.
    """
    if not isinstance(model, DomainAdaptation):
        if domains_of(train) or domains_of(validation):
            raise ValueError(
                "Expected a kx.DomainAdaptation to train on what `kx.pair_domains` makes. "
                f"Received: model {model.name!r} of class {type(model).__name__}."
            )
        return
    if not holds_pairs(train):
        raise ValueError(
            "Expected a kx.DomainAdaptation to be trained on `kx.pair_domains(source, target)`. "
            f"Received: batches of {train.element_spec}."
        )
    check_target_labels(model.method, train.element_spec[1])
    given = {name: value for name, value in not_for_pairs.items() if value is not None}
    if given:
        raise ValueError(
            f"Expected none of {list(not_for_pairs)} with a kx.DomainAdaptation; examples are "
            f"weighed by datasets (inputs, labels, weights). Received: {given}."
        )


@contextlib.contextmanager
def as_part_of_training(model: keras.Model, place: Callable[[], tuple[int, int]]) -> Iterator[None]:
    """Meanwhile `fit` of an adapted model goes on with its schedule.

    Args:
        model: keras.Model, of which others than a `kx.DomainAdaptation` have none.
        place: tells how many batches come before, and in all.
    """
    if not isinstance(model, DomainAdaptation):
        yield
        return
    model.part_of_training = place()
    try:
        yield
    finally:
        model.part_of_training = None
