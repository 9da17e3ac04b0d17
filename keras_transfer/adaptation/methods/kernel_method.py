"""What the methods have in common that compare kernels of several layers."""

from __future__ import annotations

from typing import Any

from keras_transfer.adaptation.discrepancies.mmd import check_settings
from keras_transfer.adaptation.discrepancies.pair_weights import ESTIMATORS
from keras_transfer.adaptation.methods.method import Method


class KernelMethod(Method):
    """A method by maximum mean discrepancies that no function of two samples gives.

    Args:
        kernels: int, at least 1, of each layer.
        bandwidth: "mean" or "median", of each layer and batch; or a float above 0 for all layers.
        estimator: "unbiased" or "biased".
        name: str or None, as of every layer.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        kernels: int = 5,
        bandwidth: float | str = "mean",
        estimator: str = "unbiased",
        *,
        name: str | None = None,
    ):
        super().__init__(name=name)
        check_settings(kernels, bandwidth, estimator, estimators=ESTIMATORS)
        self.kernels = kernels
        self.bandwidth = bandwidth
        self.estimator = estimator
        self.supports_jit = False  # as `tf.print` has no place in XLA

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "kernels": self.kernels,
            "bandwidth": self.bandwidth,
            "estimator": self.estimator,
            "name": self.name,
        }
