"""How much pretraining gains: accuracy on the test half of the bundled pictures, over seeds.

`python -m benchmarks.transfer [--seeds 3] [--style noto]`, about ten minutes a seed on two cores.
All training settings are the defaults of the package; they were chosen by cross-validation on
the train half. Prints mean and standard error, and as last line the same as JSON.
"""

from __future__ import annotations

import argparse
import json
import time

import keras

import keras_transfer as kx
from benchmarks.over_seeds import mean_and_error

SIZE = (128, 128)
EPOCHS = {"feature_extraction": 20, "fine_tuning": 12, "random_weights": 12}


def accuracy(case: str, style: str, seed: int) -> float:
    """Trains on the train half from one seed; accuracy on the test half."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    data = kx.emoji_styles(style, image_size=SIZE, validation_split=0.0, seed=seed)
    weights = None if case == "random_weights" else "pretrained"
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*SIZE, 3), weights=weights)
    if weights is None:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.9  # of the pretrained network: 0.99, too slow for 300 steps
    model = kx.Classifier(backbone, data.class_names, dropout=0.2)
    if case == "feature_extraction":
        options: dict = {"strategy": kx.FeatureExtraction()}
    else:
        batch_norm = "frozen" if weights else "trainable"
        options = {
            "strategy": kx.FineTuning(batch_norm=batch_norm),
            "learning_rate": None if weights else 2e-3,
            "augmentation": kx.augmentation("light", SIZE, seed=seed),
        }
    kx.fine_tune(model, data.train, epochs=EPOCHS[case], verbose=0, **options)
    return kx.evaluate(model, data.test, verbose=False).accuracy


def main() -> None:
    """Runs every case over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--style", default="noto")
    parser.add_argument("--cases", nargs="*", default=list(EPOCHS), choices=list(EPOCHS))
    arguments = parser.parse_args()
    results = {}
    for case in arguments.cases:
        started = time.perf_counter()
        values = [accuracy(case, arguments.style, seed) for seed in range(arguments.seeds)]
        mean, error = mean_and_error(values)
        seconds = (time.perf_counter() - started) / len(values)
        results[case] = {"mean": mean, "standard_error": error, "values": values}
        print(f"{case}: {mean:.4f} +- {error:.4f} ({seconds:.0f} s a seed)", flush=True)
    print(json.dumps({"style": arguments.style, "epochs": EPOCHS, "accuracy": results}))


if __name__ == "__main__":
    main()
