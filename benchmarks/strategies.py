"""What each strategy gains over plain Keras, in accuracy and in time, on the bundled pictures.

`python -m benchmarks.strategies [--examples-per-class 5] [--seeds 3] [--style noto]`: 128 px,
EfficientNet-Lite0 with ImageNet weights, trained on the train half (or on so many of its pictures
a class, other ones for each seed) and evaluated on the test half. The reference is Keras alone:
everything trainable, Adam, `fit`. All cases have the epochs and the batch size of the default
recipe, and all but the recipe, which says itself, light augmentation. Settings were chosen on
validation parts of the train half. Prints a table of mean and standard error over seeds and of
seconds as a ratio to the reference, then what of it is claimed and holds; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import keras_transfer as kx
from benchmarks.over_seeds import mean_and_error

SIZE = (128, 128)
REFERENCE = "plain Keras"
# Of the reference, the better of 1e-3 and 3e-4 on validation data.
REFERENCE_RATE = 3e-4

CASES: dict[str, dict[str, Any]] = {
    "feature extraction": {"strategy": kx.FeatureExtraction()},
    "fine-tuning": {"strategy": kx.FineTuning()},
    "last three blocks": {"strategy": kx.FineTuning(3)},
    "gradual unfreezing, layer decay": {
        "strategy": kx.GradualUnfreezing(3),
        "learning_rate": 1e-3,
        "layer_decay": 0.8,
    },
    "linear probing, then fine-tuning": {
        "strategy": kx.Sequence([kx.FeatureExtraction(), kx.FineTuning()])
    },
    "L2-SP": {"strategy": kx.FineTuning(), "regularizer": kx.L2SP(0.01, 0.01)},
    "attention over depths": {
        "strategy": kx.FineTuning(),
        "learning_rate": 1e-3,
        "layer_decay": 0.8,
        "head": {"depths": 5, "fusion": "attention"},
    },
}
RECIPE = "default recipe"


def pictures(style: str) -> tuple[np.ndarray, np.ndarray, kx.Splits]:
    """The train half as arrays, and the data it is from."""
    data = kx.emoji_styles(style, image_size=SIZE, validation_split=0.0)
    batches = list(data.train.as_numpy_iterator())
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches]), data


def chosen(labels: np.ndarray, per_class: int | None, seed: int) -> np.ndarray:
    """Indices of so many random examples of each class, or of all."""
    order = np.random.default_rng(seed).permutation(len(labels))
    if per_class is None:
        return order
    return np.concatenate([order[labels[order] == c][:per_class] for c in np.unique(labels)])


def recipe_for(num_examples: int, names: list[str], seed: int) -> kx.Recipe:
    """The default recipe for so many pictures."""
    return kx.default_recipe(num_examples, len(names), SIZE, seed=seed)


def plain(backbone: keras.Model, names: list[str]) -> keras.Model:
    """A classifier as Keras's own guides make it."""
    pixels = keras.Input((*SIZE, 3))
    features = keras.layers.GlobalAveragePooling2D()(backbone(pixels))
    features = keras.layers.Dropout(0.2)(features)
    model = keras.Model(pixels, keras.layers.Dense(len(names), name="logits")(features))
    model.class_names = names
    return model


def train(case: str, x: np.ndarray, y: np.ndarray, names: list[str], seed: int, epochs: int) -> Any:
    """Trains one case; the model, and the seconds that the training took."""
    data = kx.arrays(x, y, class_names=names, validation_split=0.0, seed=seed).train
    options = dict(CASES.get(case, {}))
    light = kx.augmentation("light", SIZE, seed=seed)
    recipe = recipe_for(len(x), names, seed)
    head = recipe.classifier if case == RECIPE else {"dropout": 0.2, **options.pop("head", {})}
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*SIZE, 3))
    model = plain(backbone, names) if case == REFERENCE else kx.Classifier(backbone, names, **head)
    started = time.perf_counter()
    if case == REFERENCE:
        model.compile(
            keras.optimizers.Adam(REFERENCE_RATE),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        augmented = data.map(lambda pixels, label: (light(pixels, training=True), label))
        model.fit(augmented.prefetch(2), epochs=epochs, verbose=0, shuffle=False)
    elif case == RECIPE:
        kx.fine_tune(model, data, verbose=0, **(recipe.settings | {"epochs": epochs}))
    else:
        kx.fine_tune(model, data, epochs=epochs, augmentation=light, verbose=0, **options)
    return model, time.perf_counter() - started


def main() -> None:
    """Runs every case over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [REFERENCE, *CASES, RECIPE]
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--style", default="noto")
    parser.add_argument("--examples-per-class", type=int, default=None)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--cases", nargs="*", default=names, choices=names)
    arguments = parser.parse_args()
    per_class = arguments.examples_per_class
    x, y, data = pictures(arguments.style)
    recipe = recipe_for(len(chosen(y, per_class, seed=0)), data.class_names, seed=0)
    epochs = arguments.epochs or recipe.settings["epochs"]
    figures: dict[str, dict[str, Any]] = {}
    for case in arguments.cases:
        accuracies, seconds = [], []
        for seed in range(arguments.seeds):
            keras.backend.clear_session()
            keras.utils.set_random_seed(seed)
            index = chosen(y, per_class, seed)
            model, took = train(case, x[index], y[index], data.class_names, seed, epochs)
            accuracies.append(kx.evaluate(model, data.test, verbose=False).accuracy)
            seconds.append(took)
        figures[case] = summary(accuracies, seconds)
        print(case, figures[case], flush=True)
    reference = figures.get(REFERENCE, {}).get("seconds", float("nan"))
    for row in figures.values():
        row["time_ratio"] = row["seconds"] / reference
    show(figures, f"{arguments.style}, {per_class or 'all'} examples a class, {epochs} epochs")
    for claim, holds in claims(figures, per_class).items():
        print("yes" if holds else "NO ", claim)
    settings = {"style": arguments.style, "examples_per_class": per_class, "epochs": epochs}
    print(json.dumps({**settings, "cases": figures}))


def summary(accuracies: list[float], seconds: list[float]) -> dict[str, Any]:
    """Mean and standard error over seeds; the median of the seconds."""
    mean, error = mean_and_error(accuracies)
    return {
        "accuracy": mean,
        "standard_error": error,
        "values": accuracies,
        "seconds": float(np.median(seconds)),
    }


def claims(figures: dict[str, Any], per_class: int | None) -> dict[str, bool]:
    """What the table is to show, as far as its cases were run."""
    rows = {case: row["accuracy"] for case, row in figures.items()}
    found = {}
    if per_class is None and REFERENCE in rows:
        best = max(rows, key=lambda case: rows[case])
        error = figures[best]["standard_error"]
        found[f"the best, {best}, reaches 0.78"] = rows[best] >= 0.78
        found["and beats the reference by more than its error"] = (
            rows[best] > rows[REFERENCE] + error
        )
    if per_class is None and "feature extraction" in rows:
        ours = [rows[case] for case in rows if case != REFERENCE]
        found["no strategy is worse than feature extraction"] = (
            min(ours) == rows["feature extraction"]
        )
    if per_class is not None and {REFERENCE, RECIPE} <= rows.keys():
        found["the recipe beats the reference by three points"] = (
            rows[RECIPE] >= rows[REFERENCE] + 0.03
        )
    return found


def show(figures: dict[str, dict[str, Any]], title: str) -> None:
    """Prints the table for people."""
    table = Table("Case", title=title)
    for heading in ("Accuracy", "Standard error", "Seconds", "Ratio"):
        table.add_column(heading, justify="right")
    for case, row in figures.items():
        numbers = (row["accuracy"], row["standard_error"])
        ratio = f"{row['time_ratio']:.2f}"
        table.add_row(case, *(f"{n:.3f}" for n in numbers), f"{row['seconds']:.0f}", ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
