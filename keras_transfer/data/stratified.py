"""Examples divided at random, each class in proportion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def stratified_indices(
    labels: np.ndarray, class_names: Sequence[str], fractions: dict[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Divides examples into "train" and the named parts, each with the classes in proportion.

    Args:
        labels: int array `(n,)`. Without class names any array `(n, ...)`: a plain random split.
        class_names: the name of each label, for the error messages.
        fractions: the share of all examples that each part other than "train" gets, 0 to 1.
        seed: int. The same seed gives the same split.

    Returns:
        For each part, the indices of its examples in ascending order. A part with a share of 0
        is left out.

    Raises:
        ValueError: if the shares leave nothing for training, or there are too few examples, in all
            or of a class.

    Example:

    >>> parts = stratified_indices(np.array([0] * 4 + [1] * 4), "ab", {"test": 0.5}, seed=0)
    >>> np.bincount(parts["test"] // 4).tolist()
    [2, 2]
    """
    if min(fractions.values()) < 0 or sum(fractions.values()) >= 1:
        raise ValueError(
            "Expected the shares of validation and test data to be at least 0 and to leave "
            f"something for training. Received: {fractions}."
        )
    parts, rest = {}, np.arange(len(labels))
    for part, fraction in fractions.items():
        if fraction:
            count = max(1, round(fraction * len(labels)))
            rest, parts[part] = _split(rest, labels, class_names, count, seed)
    return {"train": rest, **parts}


def _split(
    indices: np.ndarray, labels: np.ndarray, class_names: Sequence[str], count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split

    chosen = labels[indices]
    if class_names:
        counts = np.bincount(chosen, minlength=len(class_names))
        _check_counts(counts, class_names, count)
    elif count >= len(indices):
        raise ValueError(
            "Expected some examples on both sides of the split: add examples or choose other "
            f"shares. Received: {len(indices)} examples, of which {count} are to be split off."
        )
    rest, part = train_test_split(
        indices, test_size=count, random_state=seed, stratify=chosen if class_names else None
    )
    for side in (rest, part):
        lost = sorted(set(chosen) - set(labels[side])) if class_names else []
        if lost:
            raise ValueError(
                "Expected some of each class on both sides of the split: add examples or choose "
                f"other shares. Received: {len(side)} on one side, none of "
                f"{[class_names[label] for label in lost]}."
            )
    return np.sort(rest), np.sort(part)


def _check_counts(counts: np.ndarray, class_names: Sequence[str], count: int) -> None:
    few = {name: int(n) for name, n in zip(class_names, counts, strict=True) if n < 2}
    if few:
        raise ValueError(
            "Expected at least 2 examples of each class, to have some on both sides of the "
            f"split: add examples or remove the class. Received: {few}."
        )
    if min(count, counts.sum() - count) < len(class_names):
        raise ValueError(
            f"Expected each part to hold at least one example of each of the {len(class_names)} "
            "classes: add examples or choose other shares. "
            f"Received: {counts.sum()} examples, of which {count} are to be split off."
        )


def split_off(
    parts: dict[str, tuple[np.ndarray, np.ndarray]],
    class_names: Sequence[str],
    fractions: dict[str, float],
    seed: int,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The parts that are there as they are; the others are split off "train".

    Args:
        parts: examples and labels, for "train" and maybe other parts.
        class_names: see `stratified_indices`, as the arguments that follow.
        fractions: see there; the shares of parts that are there do not count.
        seed: see there.

    Raises:
        ValueError: as there.
    """
    missing = {part: share for part, share in fractions.items() if part not in parts}
    if not missing:
        return parts
    examples, labels = parts["train"]
    indices = stratified_indices(labels, class_names, missing, seed)
    return parts | {part: (examples[chosen], labels[chosen]) for part, chosen in indices.items()}
