"""Which method of adaptation, with which weight and kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner

from keras_transfer.adaptation.methods.names import MethodName, make_method
from keras_transfer.search.space.conditions import only_for

_WITH_KERNELS = ("mmd", "joint_mmd", "local_mmd")


def choose_method(
    hp: keras_tuner.HyperParameters, names: Sequence[MethodName]
) -> tuple[keras.layers.Layer, float]:
    """A method and its weight.

    Args:
        hp: the trial's values.
        names: of which one is chosen.
    """
    chosen = hp.Choice("method", list(names))
    # Of the method's own weight: those of two methods cannot be compared.
    factor = hp.Float("weight_factor", 0.1, 10.0, sampling="log", default=1.0)
    options: dict[str, Any] = {}
    if "mmd" in names:
        with only_for(hp, "kernel", "method", ["mmd"]):
            kernel = hp.Choice("kernel", ["gaussian", "laplacian", "energy"])
        options |= {"kernel": kernel} if chosen == "mmd" else {}
    with_kernels = [name for name in names if name in _WITH_KERNELS]
    if with_kernels:
        with only_for(hp, "kernels", "method", with_kernels):
            kernels = hp.Choice("kernels", [5, 1])
        options |= {"kernels": kernels} if chosen in with_kernels else {}
    method = make_method(chosen, **options)
    return method, factor * method.default_weight
