"""A step towards where the weights started, after every update of the optimizer."""

from __future__ import annotations

from typing import Any, Literal

import keras


@keras.saving.register_keras_serializable("keras_transfer")
class Proximal:
    """Pulls weights towards the start after each update, apart from the gradient.

    Where a penalty in the loss (`kx.L2SP`) goes through Adam's moments and loses its strength
    there, this step acts at full strength, as decoupled weight decay does. Pass it to
    `kx.fine_tune` or `kx.layerwise`. With η the learning rate times the weight's own rate, and
    λ the strength:

    - "l2": w ← w₀ + (w - w₀) / (1 + ηλ), the proximal map of λ/2 · ‖w - w₀‖².
    - "l1": w - w₀ is shrunk by ηλ towards 0 and not beyond (soft thresholding), the proximal map
      of λ · ‖w - w₀‖₁. Most weights then stay exactly at their start.

    Weights of the backbone start at their pretrained values; for the head w₀ is 0.

    Reference: Parikh and Boyd, "Proximal Algorithms", 2014. L2-SP and L1-SP: Li, Grandvalet and
    Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", ICML 2018.

    Args:
        backbone: float, at least 0. Strength for the backbone's weights.
        head: float, at least 0. Strength for the head's.
        norm: "l2" or "l1".

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> step = kx.Proximal(backbone=1.0, norm="l1")
    >>> round(float(step(value=1.5, start=1.0, rate=0.1, in_head=False)), 4)
    1.4
    """

    def __init__(
        self, backbone: float = 0.1, head: float = 0.0, *, norm: Literal["l2", "l1"] = "l2"
    ):
        if not (0 <= backbone < float("inf") and 0 <= head < float("inf")):
            raise ValueError(
                f"Expected strengths of at least 0. Received: backbone={backbone}, head={head}."
            )
        if norm not in ("l2", "l1"):
            raise ValueError(f"Expected `norm` to be 'l2' or 'l1'. Received: {norm!r}.")
        self.backbone = backbone
        self.head = head
        self.norm = norm

    def __call__(self, value: Any, start: Any, rate: Any, in_head: bool) -> Any:
        """The weight after the step; `rate` is its learning rate."""
        shrinkage = rate * (self.head if in_head else self.backbone)
        moved = value - start
        if self.norm == "l2":
            return start + moved / (1 + shrinkage)
        return start + keras.ops.sign(moved) * keras.ops.relu(keras.ops.abs(moved) - shrinkage)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"backbone": self.backbone, "head": self.head, "norm": self.norm}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Proximal:
        """Makes the step from `get_config()`."""
        return cls(**config)
