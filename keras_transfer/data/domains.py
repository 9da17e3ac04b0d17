"""Batches of a source and a target domain, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import tensorflow as tf

from keras_transfer.data.examples import examples_of
from keras_transfer.data.joint import zip_longest
from keras_transfer.data.length import counted
from keras_transfer.data.preprocessors import settings_of
from keras_transfer.data.splits import keep_notes

TargetLabels = Literal["ignore", "train"]
_OTHER_ORDER = 1_000_003  # far from the next seeds that somebody would take
# What data without classes has for labels, and nobody takes for one.
NO_LABEL = -1


def pair_domains(
    source: tf.data.Dataset,
    target: tf.data.Dataset,
    *,
    target_labels: TargetLabels | None = None,
) -> tf.data.Dataset:
    """Puts batches of a labeled source and a target side by side, for `kx.DomainAdaptation`.

    Each step takes one batch of each. An epoch is as long as the longer dataset; the shorter one
    starts again, shuffled anew where it shuffles. Batches may be of different sizes. The target of
    this package's loaders is shuffled by another seed than the source: two folders with the same
    things in them would come in one order otherwise, each picture beside its counterpart.

    Args:
        source: tf.data.Dataset of batches `(inputs, labels)` or `(inputs, labels,
            sample_weights)`, finite.
        target: tf.data.Dataset of batches `inputs`, `(inputs,)`, or of what `source` may be.
        target_labels: what is done with labels of the target, which are refused unless it is
            said: "ignore" leaves them out; "train" adds their loss to that of the source, as
            supervised and semi-supervised methods want it. Integer labels of -1 are none. Sample
            weights of the target count either way, as in weakly labeled data. Defaults to None.

    Returns:
        A tf.data.Dataset of `(inputs, labels)` or `(inputs, labels, sample_weights)`, dicts with
        the keys "source" and "target"; of the labels "target" only where it is trained on.

    Raises:
        ValueError: if the source has no labels, the target has some and nothing is said about
            them, the inputs do not fit together, or a dataset is empty or infinite.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> source, target = (
    ...     kx.arrays(np.zeros([n, 8, 8, 3], "uint8"), [0, 1] * (n // 2), validation_split=0.5)
    ...     for n in (80, 8)
    ... )
    >>> for inputs, labels in kx.pair_domains(source.train, target.train, target_labels="ignore"):
    ...     print({domain: len(batch) for domain, batch in inputs.items()}, list(labels))
    {'source': 32, 'target': 4} ['source']
    {'source': 8, 'target': 4} ['source']
    """
    _check(source, target, target_labels)
    target = _apart(source, target)
    weighted = any(len(_specs(dataset)) == 3 for dataset in (source, target))
    labeled = ("source", "target") if target_labels == "train" else ("source",)

    def paired(batches: dict[str, Any]) -> tuple[dict[str, tf.Tensor], ...]:
        parts = {domain: _tuple(batch) for domain, batch in batches.items()}
        inputs = {domain: part[0] for domain, part in parts.items()}
        labels = {domain: parts[domain][1] for domain in labeled}
        if not weighted:
            return inputs, labels
        return inputs, labels, {domain: _weights(part) for domain, part in parts.items()}

    domains = {"source": counted(source), "target": counted(target)}
    pairs = zip_longest(domains, paired)
    for note in ("resize", "preprocessor"):
        noted = [getattr(dataset, note) for dataset in (source, target) if hasattr(dataset, note)]
        if noted:
            setattr(pairs, note, noted[0])
    # `kx.fine_tune` looks for the features of each domain.
    pairs.domains = tuple(domains.values())
    return pairs


def _apart(source: tf.data.Dataset, target: tf.data.Dataset) -> tf.data.Dataset:
    """The target in an order that has nothing to do with the source's.

    Where both show the same things, as many and in one order of names, the same seed would put
    each beside its counterpart in every batch: as good as labels, and not so in real use.
    """
    of_source, of_target = examples_of(source), examples_of(target)
    if of_source is None or of_target is None or of_target.shuffle_seed is None:
        return target
    if of_source.shuffle_seed != of_target.shuffle_seed:
        return target
    reshuffled = of_target.reshuffled(of_target.shuffle_seed + _OTHER_ORDER)
    return keep_notes(reshuffled.dataset(), target)


def domains_of(dataset: Any) -> dict[str, tf.data.Dataset] | None:
    """The datasets behind what `pair_domains` made, of tuples; None where it was changed since."""
    if not hasattr(dataset, "domains"):
        return None
    source, target = dataset.domains
    if not isinstance(target.element_spec, tuple):
        target = target.map(lambda inputs: (inputs,))
    return {"source": source, "target": target}


def paired_like(pairs: tf.data.Dataset, domains: Mapping[str, tf.data.Dataset]) -> tf.data.Dataset:
    """Pairs of what has taken the place of `domains_of(pairs)`."""
    labeled = "target" in pairs.element_spec[1]
    return pair_domains(**domains, target_labels="train" if labeled else "ignore")


def by_domain(
    dataset: tf.data.Dataset, change: Callable[[tf.data.Dataset], tf.data.Dataset]
) -> tf.data.Dataset:
    """A dataset put through a function; of pairs, both domains, paired again."""
    domains = domains_of(dataset)
    if domains is None:
        return change(dataset)
    return paired_like(dataset, {name: change(part) for name, part in domains.items()})


def _check(
    source: tf.data.Dataset, target: tf.data.Dataset, target_labels: TargetLabels | None
) -> None:
    if target_labels not in (None, *get_args(TargetLabels)):
        raise ValueError(
            f"Expected `target_labels` to be one of {get_args(TargetLabels)} or None. "
            f"Received: target_labels={target_labels!r}."
        )
    if len(_specs(source)) < 2:
        raise ValueError(
            "Expected a source with labels: batches (inputs, labels) or (inputs, labels, "
            f"sample_weights). Received: {source.element_spec}."
        )
    labeled = len(_specs(target)) > 1
    if labeled and target_labels is None:
        raise ValueError(
            "Expected a target without labels, or to be told what to do with them: "
            "target_labels='ignore' leaves them out, 'train' adds their loss to the source's. "
            f"Received: a target of {target.element_spec}."
        )
    if not labeled and target_labels == "train":
        raise ValueError(
            "Expected a target with labels for target_labels='train'. "
            f"Received: {target.element_spec}."
        )
    _check_alike(source, target)


def _check_alike(source: tf.data.Dataset, target: tf.data.Dataset) -> None:
    one, other = _specs(source)[0], _specs(target)[0]
    alike = tf.nest.map_structure(lambda spec: (spec.dtype, spec.shape.rank), one)
    if tf.nest.map_structure(lambda spec: (spec.dtype, spec.shape.rank), other) != alike or any(
        not a.shape[1:].is_compatible_with(b.shape[1:])
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)
    ):
        raise ValueError(
            "Expected inputs of both domains to be of one shape and dtype: load them with the "
            f"same size of pictures, or the same preprocessor. Received: {one} and {other}."
        )
    resizes = [getattr(dataset, "resize", None) for dataset in (source, target)]
    if None not in resizes and resizes[0] != resizes[1]:
        raise ValueError(
            "Expected pictures of both domains to be resized alike: load them with the same "
            f"`resize`. Received: {resizes[0]!r} and {resizes[1]!r}."
        )
    preprocessors = [getattr(dataset, "preprocessor", None) for dataset in (source, target)]
    if None not in preprocessors and len(set(map(settings_of, preprocessors))) > 1:
        raise ValueError(
            "Expected texts of both domains to be preprocessed alike. "
            f"Received: {preprocessors[0]} and {preprocessors[1]}."
        )


def _specs(dataset: tf.data.Dataset) -> tuple[Any, ...]:
    return _tuple(dataset.element_spec)


def _tuple(batch: Any) -> tuple[Any, ...]:
    return batch if isinstance(batch, tuple) else (batch,)


def _weights(part: tuple[Any, ...]) -> tf.Tensor:
    first = tf.nest.flatten(part[0])[0]
    return tf.cast(part[2], tf.float32) if len(part) == 3 else tf.ones(tf.shape(first)[:1])
