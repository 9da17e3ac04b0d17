"""Transfer learning for Keras 3 on TensorFlow, from a pretrained backbone to TF Serving.

Public names are imported on first use, so `import keras_transfer as kx` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from keras_transfer._version import __version__

if TYPE_CHECKING:
    from keras_transfer.backbones.info import BackboneInfo
    from keras_transfer.backbones.registry import list_backbones, load_backbone
    from keras_transfer.data.arrays import arrays
    from keras_transfer.data.augmentation import augmentation
    from keras_transfer.data.emoji_styles import emoji_styles, emoji_styles_folder
    from keras_transfer.data.images import image_folder
    from keras_transfer.data.readable import UnreadablePicturesError
    from keras_transfer.data.splits import Splits
    from keras_transfer.data.tfds import tfds
    from keras_transfer.evaluation.evaluate import evaluate
    from keras_transfer.evaluation.reports import ClassificationReport, RegressionReport
    from keras_transfer.models.blocks import Block, split_into_blocks
    from keras_transfer.models.classifier import Classifier, Regressor
    from keras_transfer.serving.export import export
    from keras_transfer.serving.verify import VerificationError, verify
    from keras_transfer.strategies.freezing import FeatureExtraction, FineTuning, Strategy
    from keras_transfer.training.fine_tune import fine_tune

_MODULES = {
    "BackboneInfo": "backbones.info",
    "Block": "models.blocks",
    "ClassificationReport": "evaluation.reports",
    "Classifier": "models.classifier",
    "FeatureExtraction": "strategies.freezing",
    "FineTuning": "strategies.freezing",
    "RegressionReport": "evaluation.reports",
    "Regressor": "models.classifier",
    "Splits": "data.splits",
    "Strategy": "strategies.freezing",
    "UnreadablePicturesError": "data.readable",
    "VerificationError": "serving.verify",
    "arrays": "data.arrays",
    "augmentation": "data.augmentation",
    "emoji_styles": "data.emoji_styles",
    "emoji_styles_folder": "data.emoji_styles",
    "evaluate": "evaluation.evaluate",
    "export": "serving.export",
    "fine_tune": "training.fine_tune",
    "image_folder": "data.images",
    "list_backbones": "backbones.registry",
    "load_backbone": "backbones.registry",
    "split_into_blocks": "models.blocks",
    "tfds": "data.tfds",
    "verify": "serving.verify",
}

__all__ = ["__version__", *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
