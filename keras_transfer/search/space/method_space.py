"""Which method of adaptation, with which weight and kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import keras_tuner

from keras_transfer.adaptation.discrepancies.coral import DeepCoral
from keras_transfer.adaptation.discrepancies.maximum_mean_discrepancy import (
    MaximumMeanDiscrepancy,
)
from keras_transfer.adaptation.methods.batch_nuclear_norm import BatchNuclearNorm
from keras_transfer.adaptation.methods.conditional_adversarial import ConditionalAdversarial
from keras_transfer.adaptation.methods.domain_adversarial import DomainAdversarial
from keras_transfer.adaptation.methods.information_maximization import InformationMaximization
from keras_transfer.adaptation.methods.joint_mmd import JointMMD
from keras_transfer.adaptation.methods.local_mmd import LocalMMD
from keras_transfer.adaptation.methods.minimum_class_confusion import MinimumClassConfusion
from keras_transfer.adaptation.methods.reconstruction import Reconstruction
from keras_transfer.adaptation.methods.self_training import SelfTraining
from keras_transfer.search.space.conditions import only_for

MethodName = Literal[
    "mmd",
    "joint_mmd",
    "local_mmd",
    "coral",
    "dann",
    "cdan",
    "mcc",
    "information",
    "nuclear_norm",
    "self_training",
    "reconstruction",
]
# By the names of `keras-transfer adapt`.
METHODS: dict[str, type] = {
    "mmd": MaximumMeanDiscrepancy,
    "joint_mmd": JointMMD,
    "local_mmd": LocalMMD,
    "coral": DeepCoral,
    "dann": DomainAdversarial,
    "cdan": ConditionalAdversarial,
    "mcc": MinimumClassConfusion,
    "information": InformationMaximization,
    "nuclear_norm": BatchNuclearNorm,
    "self_training": SelfTraining,
    "reconstruction": Reconstruction,
}
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
    method = METHODS[chosen](**options)
    return method, factor * method.default_weight
