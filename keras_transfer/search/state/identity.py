"""What a search must have in common with the one that it goes on with."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import keras_tuner

from keras_transfer.data.data_fingerprint import data_fingerprint
from keras_transfer.data.domains import domains_of
from keras_transfer.data.examples import examples_of

# Parts, each with what it has by its names.
Identity = dict[str, dict[str, Any]]


def identity_of(oracle: keras_tuner.Oracle) -> Identity:
    """The space that models were built for, and what is looked for in it.

    Args:
        oracle: keras_tuner.Oracle, before its first trial.
    """
    objective = oracle.objective
    space = {}
    for parameter in oracle.get_space().space:
        config = parameter.get_config()
        conditions = [repr(condition.get_config()) for condition in parameter.conditions]
        space[f"{config['name']}{conditions or ''}"] = {
            "type": type(parameter).__name__,
            **{key: value for key, value in config.items() if key not in ("name", "conditions")},
        }
    return {
        "hyper-parameter": space,
        "oracle": {"class": type(oracle).__name__},
        "objective": {"name": objective.name, "direction": objective.direction},
    }


def identity_of_data(name: str, dataset: Any) -> Identity:
    """The examples of a dataset, or of both domains of pairs, by content.

    Args:
        name: what the dataset is for.
        dataset: one of this package; of others nothing is known, and nothing is given.
    """
    parts = domains_of(dataset)
    if parts is not None:
        found: Identity = {}
        for domain, part in parts.items():
            found |= identity_of_data(f"{name} {domain}", part)
        return found
    examples = examples_of(dataset)
    if examples is None:
        return {}
    count = int(examples.in_order.cardinality())
    return {name: {"number of examples": count, "content": data_fingerprint(dataset)}}


def check_same(ours: Mapping[str, Any], found: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Checks the parts that both have.

    Args:
        ours: identity of this search.
        found: that of the one it goes on with.
        folder: where that one is.

    Raises:
        ValueError: if one of them is another.
    """
    differences = []
    for part in sorted(ours.keys() & found.keys()):
        for name in sorted(ours[part].keys() | found[part].keys()):
            was, now = found[part].get(name), ours[part].get(name)
            if was != now:
                differences.append(f"{part} {name!r} was {was} and is {now}")
    if differences:
        raise ValueError(
            "Expected the search that was begun under this `project_name`: take another name, "
            f"or `overwrite=True` to search anew. Received: {'; '.join(differences)} ({folder})."
        )
