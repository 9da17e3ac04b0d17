"""What tells one training from another, so that none goes on from another's checkpoints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.adaptation.domain_adaptation import DomainAdaptation
from keras_transfer.data.length import count_steps
from keras_transfer.models.fingerprint import unnamed

# What a resumed training has to have in common with the one that was killed.
IDENTITY = (
    "strategy",
    "train",
    "epochs",
    "learning_rate",
    "layer_decay",
    "block_rates",
    "schedule",
    "optimizer",
    "regularizer",
    "augmentation",
    "mixing",
    "label_smoothing",
    "class_weight",
    "early_stopping",
    "adaptation",
)


def adaptation_of(model: keras.Model) -> dict[str, Any] | None:
    """What a `kx.DomainAdaptation` does besides training its model; None for other models."""
    if not isinstance(model, DomainAdaptation):
        return None
    names = ("weight", "schedule", "layer_names", "normalization")
    method = getattr(model.method, "discrepancy", model.method)
    return {"method": method, **{name: getattr(model, name) for name in names}}


def described(identity: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON: objects by class and arguments, data by its shapes and length."""
    return {name: _json(value) for name, value in identity.items()}


def _json(value: Any) -> Any:
    if value is None or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, tf.data.Dataset):
        return [repr(value.element_spec), count_steps(value)]
    if isinstance(value, keras.Model):
        return _digest(unnamed(value.get_config()))
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if hasattr(value, "get_config"):
        config = {key: v for key, v in value.get_config().items() if key != "name"}
        return [type(value).__name__, json.loads(json.dumps(config, default=repr))]
    if callable(value):  # its repr has an address that changes
        kind = value if hasattr(value, "__qualname__") else type(value)
        return f"{kind.__module__}.{kind.__qualname__}"
    return repr(value)


def _digest(description: Any) -> str:
    return hashlib.sha256(repr(description).encode()).hexdigest()[:16]
