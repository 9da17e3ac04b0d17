"""On which devices a training runs, and in which precision."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

import tensorflow as tf

from keras_transfer.models.dtype_policy import dtype_policy

Precision = Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]
# Tensor cores take float16 from Volta on, bfloat16 from Ampere on.
_FLOAT16, _BFLOAT16 = (7, 0), (8, 0)


@dataclasses.dataclass(frozen=True)
class ComputeStrategy:
    """Devices and precision to make models for and to train them in.

    Attributes:
        distribution: tf.distribute.Strategy over several devices, or None for one.
        dtype_policy: str, the name of a Keras dtype policy.

    Example:

    >>> import keras
    >>> import keras_transfer as kx
    >>> with kx.ComputeStrategy(None, "mixed_bfloat16").scope():
    ...     layer = keras.layers.Dense(2)
    >>> layer.compute_dtype, layer.variable_dtype
    ('bfloat16', 'float32')
    """

    distribution: tf.distribute.Strategy | None
    dtype_policy: str

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Models that are made within have this precision and live on these devices."""
        with self.precision():
            if self.distribution is None:
                yield
            else:
                with self.distribution.scope():
                    yield

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """The dtype policy alone, which is set again at every entry and put back at the end.

        `keras.backend.clear_session()` forgets the policy, so that whoever calls it has to enter
        this anew: https://github.com/keras-team/keras/blob/v3.15.1/keras/src/backend/common/global_state.py
        """
        with dtype_policy(self.dtype_policy):
            yield


def compute_strategy(
    devices: Literal["auto"] | Sequence[str] = "auto", *, precision: Precision = "auto"
) -> ComputeStrategy:
    """The devices of this machine and the precision that suits them.

    Without a GPU nothing is distributed and everything is float32: reduced precision is no faster
    on processors and changes results. One GPU computes in bfloat16 from compute capability 8.0 on
    (Ampere), in float16 from 7.0 on (Volta), and in float32 before; weights stay float32 in any
    case. Several GPUs divide each batch among them (`tf.distribute.MirroredStrategy`).

    Reference: Micikevicius et al., "Mixed Precision Training", ICLR 2018.

    Args:
        devices: "auto" for all GPUs, or for the processor where there is none; or names such as
            `["GPU:0", "GPU:1"]`, of which several make a `MirroredStrategy`.
        precision: "auto" as above, or the name of a Keras dtype policy.

    Returns:
        A `kx.ComputeStrategy`.

    Raises:
        ValueError: if there is no such device or policy, or no device is named.

    Example:

    >>> import keras_transfer as kx
    >>> kx.compute_strategy(["CPU:0"]).dtype_policy
    'float32'
    """
    names = _gpus() if devices == "auto" else _checked(devices)
    policies = ("float32", "mixed_float16", "mixed_bfloat16")
    if precision != "auto" and precision not in policies:
        raise ValueError(
            f"Expected `precision` to be 'auto' or one of {policies}. Received: {precision!r}."
        )
    policy = _policy(names) if precision == "auto" else precision
    distribution = tf.distribute.MirroredStrategy(names) if len(names) > 1 else None
    return ComputeStrategy(distribution, policy)


def _gpus() -> list[str]:
    return [_name(device) for device in tf.config.list_logical_devices("GPU")]


def _name(device: tf.config.LogicalDevice) -> str:
    return device.name.removeprefix("/device:")


def _checked(devices: Sequence[str]) -> list[str]:
    known = [_name(device) for device in tf.config.list_logical_devices()]
    unknown = [name for name in devices if name not in known]
    if isinstance(devices, str) or not devices or unknown:
        raise ValueError(
            f"Expected `devices` to be 'auto' or a list of some of {known}. Received: {devices!r}."
        )
    return list(devices)


def _policy(devices: Sequence[str]) -> str:
    """For the least able of them."""
    kinds = [name.partition(":")[0] for name in devices]
    if not kinds or set(kinds) != {"GPU"}:
        return "float32"
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    least = min((detail.get("compute_capability", (0, 0)) for detail in details), default=(0, 0))
    if least >= _BFLOAT16:
        return "mixed_bfloat16"
    return "mixed_float16" if least >= _FLOAT16 else "float32"
