"""Methods of adaptation by the names that command lines and searches have for them."""

from __future__ import annotations

from typing import Any, Literal

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
# Names of classes: the command line lists the methods before it imports TensorFlow.
METHODS: dict[MethodName, str] = {
    "mmd": "MaximumMeanDiscrepancy",
    "joint_mmd": "JointMMD",
    "local_mmd": "LocalMMD",
    "coral": "DeepCoral",
    "dann": "DomainAdversarial",
    "cdan": "ConditionalAdversarial",
    "mcc": "MinimumClassConfusion",
    "information": "InformationMaximization",
    "nuclear_norm": "BatchNuclearNorm",
    "self_training": "SelfTraining",
    "reconstruction": "Reconstruction",
}


def make_method(name: MethodName, **options: Any) -> Any:
    """A method.

    Args:
        name: one of `METHODS`.
        options: what its class takes.
    """
    import keras_transfer as kx

    return getattr(kx, METHODS[name])(**options)
