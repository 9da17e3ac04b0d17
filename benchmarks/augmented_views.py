"""What a fixed number of augmented views costs in accuracy, beside new ones in every epoch.

`python -m benchmarks.augmented_views [--seeds 3] [--style noto] [--epochs 12]`: 128 px,
EfficientNet-Lite0, feature extraction with light augmentation on the train half, evaluated on the
test half. Mean and standard error over seeds, and seconds of training; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import keras_transfer as kx
from benchmarks.over_seeds import mean_and_error

SIZE = (128, 128)
NEW, NONE = "new views in every epoch", "no augmentation"
CASES = {NONE: 0, "1 view": 1, "2 views": 2, "4 views": 4, "8 views": 8, NEW: None}


def train(case: str, style: str, seed: int, epochs: int) -> tuple[float, float]:
    """Accuracy on the test half, and seconds of training."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    data = kx.emoji_styles(style, image_size=SIZE, validation_split=0.0, seed=seed)
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*SIZE, 3))
    model = kx.Classifier(backbone, data.class_names)
    augmentation = None if case == NONE else kx.augmentation("light", SIZE, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        cache = kx.FeatureCache(folder, views=CASES[case] or None)
        kx.fine_tune(
            model, data.train, epochs=epochs, augmentation=augmentation, cache=cache, verbose=0
        )
        seconds = time.perf_counter() - started
    return kx.evaluate(model, data.test, verbose=False).accuracy, seconds


def main() -> None:
    """Runs all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--style", default="noto")
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    table = Table("views", "accuracy", "seconds", title=arguments.style)
    cases: dict[str, Any] = {}
    for case in CASES:
        runs = [train(case, arguments.style, s, arguments.epochs) for s in range(arguments.seeds)]
        accuracies, seconds = np.array(runs).T
        accuracy, error = mean_and_error(accuracies)
        cases[case] = {
            "accuracy": accuracy,
            "standard_error": error,
            "seconds": float(np.median(seconds)),
        }
        print(case, cases[case], flush=True)
        table.add_row(case, f"{accuracy:.3f} ± {error:.3f}", f"{cases[case]['seconds']:.1f}")
    Console().print(table)
    print(json.dumps({"style": arguments.style, "epochs": arguments.epochs, "cases": cases}))


if __name__ == "__main__":
    main()
