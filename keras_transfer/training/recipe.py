"""How to train when there is no time to search: by the number of examples a class."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_transfer.data.augmentation import augmentation
from keras_transfer.strategies.freezing import FeatureExtraction, FineTuning
from keras_transfer.training.optimizers import default_optimizer

# Examples a class below which nothing but the head is trained.
FEW = 10
# Of a training of everything.
PEAK_RATE = 1e-3


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What `kx.default_recipe` gives.

    Attributes:
        classifier: dict, keyword arguments of `kx.Classifier`; change or drop any.
        settings: dict, keyword arguments of `kx.fine_tune`; likewise.
    """

    classifier: dict[str, Any]
    settings: dict[str, Any]


def default_recipe(
    num_examples: int,
    num_classes: int,
    image_size: tuple[int | None, int | None],
    *,
    seed: int | None = None,
) -> Recipe:
    """Settings to start from where there is no search: which head, what to train, how long.

    By the number of examples a class, after BiT's hyper-rule, which sets steps and mixing by the
    size of the data set alone. Compared with the alternatives on validation parts of the bundled
    pictures, mostly at 20 a class; `docs/design.md` has the figures.

    - The head sees five depths of the backbone: classes that the top does not tell apart are
      often told apart below it. A linear head gains by it at every number of examples.
    - Below 10 examples a class: the head alone, for 40 epochs, without augmentation. Training
      more took longer and gained nothing on validation data.
    - From 10: everything, under light augmentation, at a peak rate of 1e-3 that lower blocks have
      less of (each 0.8 of the block above), as they hold what all pictures share. BatchNorm stays
      frozen, as statistics of few examples are poor.
      Labels are smoothed by 0.1: without it, a network that knows all of few examples by heart
      goes on to be ever surer of them. Some 300 steps in batches of 32, but at least 12 epochs and
      at most 40. At the end the weights become their moving average over the last fifty steps or
      so, which was better on validation data; what is shown in between is without it.

    Choose "standard" or "strong" augmentation where a turned picture keeps its label. For
    `kx.Regressor`, or several classes a picture, drop `label_smoothing`.

    Reference: Kolesnikov et al., "Big Transfer (BiT): General Visual Representation Learning",
    ECCV 2020.

    Args:
        num_examples: int, at least 1. Pictures to train on, `data.num_train`.
        num_classes: int, at least 1.
        image_size: tuple (height, width) of the pictures, in pixels; None for any.
        seed: int for the augmentation, or None.

    Returns:
        A `kx.Recipe`.

    Raises:
        ValueError: if a number is below 1.

    Example:

    >>> import keras_transfer as kx
    >>> recipe = kx.default_recipe(num_examples=800, num_classes=8, image_size=(128, 128))
    >>> recipe.classifier
    {'dropout': 0.2, 'depths': 5}
    >>> type(recipe.settings["strategy"]).__name__, recipe.settings["layer_decay"]
    ('FineTuning', 0.8)
    """
    sizes = [size for size in image_size if size is not None]
    if min(num_examples, num_classes, *sizes) < 1:
        raise ValueError(
            "Expected numbers of at least 1. Received: "
            f"num_examples={num_examples}, num_classes={num_classes}, image_size={image_size}."
        )
    classifier = {"dropout": 0.2, "depths": 5}
    if num_examples / num_classes < FEW:
        return Recipe(classifier, {"strategy": FeatureExtraction(), "epochs": 40})
    strategy = FineTuning()
    batches = max(1, num_examples // 32)
    settings = {
        "strategy": strategy,
        "epochs": min(40, max(12, round(300 / batches))),
        "learning_rate": PEAK_RATE,
        "optimizer": default_optimizer(PEAK_RATE, strategy.default_weight_decay, ema_momentum=0.98),
        "layer_decay": 0.8,
        "label_smoothing": 0.1,
        "augmentation": augmentation("light", image_size, seed=seed),
    }
    return Recipe(classifier, settings)
