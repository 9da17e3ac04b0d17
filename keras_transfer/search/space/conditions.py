"""Hyper-parameters that exist for some values of another one."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import keras_tuner


def only_for(
    hp: keras_tuner.HyperParameters, name: str, parent: str, values: Sequence[str]
) -> contextlib.AbstractContextManager[None]:
    """`hp.conditional_scope` for one hyper-parameter; none where it was registered without one.

    KerasTuner tells hyper-parameters of one name apart by their conditions, so that
    `Fixed(name, value)` of an oracle would hold nothing that a hyper-model asks for in a scope.

    Args:
        hp: the values.
        name: of the hyper-parameter.
        parent: name of the one that it depends on, which has to be registered.
        values: of the parent, for which it exists.
    """
    if any(known.name == name and not known.conditions for known in hp.space):
        return contextlib.nullcontext()
    return hp.conditional_scope(parent, list(values))
