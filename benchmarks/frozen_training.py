"""Training with the frozen part run once, beside plain Keras and beside what is possible at most.

`python -m benchmarks.frozen_training [--seeds 3] [--style noto] [--cases ...]`: 128 px,
EfficientNet-Lite0 with ImageNet weights, a fifth of the train half for validation after every
epoch, the test half to evaluate on. In one process, after a warm-up, for each seed:

- plain Keras: flags, `compile` with AdamW on a cosine, `fit`, stage by stage;
- ours: `kx.fine_tune` with an empty feature cache; and once more with the cache that it has left;
- the limit of feature extraction: one forward pass by hand, and `fit` of a dense layer alone.

All train the same weights at the same rates for as many epochs, and all times include tracing.
Then the peak memory of both, see `benchmarks.peak_memory`. Prints a table and what of it is
claimed; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import keras_transfer as kx
from benchmarks.over_seeds import mean_and_error

SIZE = (128, 128)
# The strategy, and the epochs of each of its stages.
CASES: dict[str, tuple[kx.Strategy, list[int]]] = {
    "feature extraction": (kx.FeatureExtraction(), [10]),
    "last two blocks": (kx.FineTuning(2), [10]),
    "gradual unfreezing of six blocks": (
        kx.GradualUnfreezing(
            [["block7a", "top"], ["block6c", "block6d"], ["block6a", "block6b"]],
        ),
        [4, 4, 4],
    ),
    "gradual unfreezing of all blocks": (kx.GradualUnfreezing(3), [4, 4, 4]),
}
LIMIT_OF = "feature extraction"


def new_model(data: kx.Splits) -> keras.Model:
    """A new classifier."""
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*data.image_size, 3))
    return kx.Classifier(backbone, data.class_names)


def compile_plainly(model: keras.Model, strategy: kx.Strategy, steps: int) -> None:
    """As a user of Keras would; the settings are those that `kx.fine_tune` takes by itself."""
    optimizer = keras.optimizers.AdamW(
        kx.warmup_cosine(strategy.default_learning_rate, steps),
        weight_decay=strategy.default_weight_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])


def plain(model: keras.Model, data: kx.Splits, strategy: kx.Strategy, epochs: list[int]) -> None:
    """Plain Keras."""
    for stage, count in enumerate(epochs):
        strategy.apply(model, stage)
        compile_plainly(model, strategy, count * int(data.train.cardinality()))
        model.fit(
            data.train, validation_data=data.validation, epochs=count, shuffle=False, verbose=0
        )


def ours(
    model: keras.Model, data: kx.Splits, strategy: kx.Strategy, epochs: list[int], folder: str
) -> None:
    """The same in one call."""
    kx.fine_tune(
        model,
        data.train,
        data.validation,
        strategy=strategy,
        epochs=sum(epochs),
        cache=kx.FeatureCache(folder),
        verbose=0,
    )


def limit(model: keras.Model, data: kx.Splits, strategy: kx.Strategy, epochs: list[int]) -> None:
    """One forward pass over the data, and the head alone."""
    backbone = model.get_layer("efficientnet_lite0")
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    features = keras.Model(backbone.input, pooled)
    run = tf.function(
        lambda pictures: features(pictures, training=False),
        input_signature=[tf.TensorSpec([None, *data.image_size, 3])],
    )
    parts = []
    for part in (data.train, data.validation):
        pairs = [(run(pictures).numpy(), labels.numpy()) for pictures, labels in part]
        arrays = tuple(np.concatenate(column) for column in zip(*pairs, strict=True))
        parts.append(tf.data.Dataset.from_tensor_slices(arrays))
    head = keras.Sequential([keras.Input([1280]), keras.layers.Dense(len(data.class_names))])
    train = parts[0].shuffle(data.num_train).batch(32).prefetch(2)
    compile_plainly(head, strategy, epochs[0] * int(train.cardinality()))
    validation = parts[1].batch(32).prefetch(2)
    head.fit(train, validation_data=validation, epochs=epochs[0], shuffle=False, verbose=0)


def timed(run: Any, data: kx.Splits, *rest: Any, seed: int) -> tuple[keras.Model, float]:
    """A new model after the run, and the seconds that it took."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = new_model(data)
    started = time.perf_counter()
    run(model, data, *rest)
    return model, time.perf_counter() - started


def compare(case: str, style: str, seeds: int) -> dict[str, Any]:
    """All runs of a case: seconds by run, and accuracies on the test half."""
    strategy, epochs = CASES[case]
    seconds: dict[str, list[float]] = {"keras": [], "ours": [], "warm": [], "limit": []}
    accuracies: dict[str, list[float]] = {"keras": [], "ours": []}
    for seed in range(seeds):
        data = kx.emoji_styles(style, image_size=SIZE, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            runs = {"keras": (plain,), "ours": (ours, folder), "warm": (ours, folder)}
            if case == LIMIT_OF:
                runs["limit"] = (limit,)
            for name, (run, *rest) in runs.items():
                model, took = timed(run, data, strategy, epochs, *rest, seed=seed)
                seconds[name].append(took)
                if name in accuracies:
                    report = kx.evaluate(model, data.test, verbose=False)
                    accuracies[name].append(report.accuracy)
    return figures(seconds, accuracies)


def figures(seconds: dict[str, list[float]], accuracies: dict[str, list[float]]) -> dict[str, Any]:
    """Ratios of medians; mean and standard error of accuracies."""
    middle = {name: float(np.median(of_run)) for name, of_run in seconds.items() if of_run}
    row: dict[str, Any] = {f"seconds_{name}": value for name, value in middle.items()}
    row["ratio_vs_keras"] = middle["keras"] / middle["ours"]
    row["ratio_vs_keras_warm"] = middle["keras"] / middle["warm"]
    row["ratio_vs_limit"] = middle["ours"] / middle["limit"] if "limit" in middle else None
    for name, values in accuracies.items():
        row[f"accuracy_{name}"], row[f"standard_error_{name}"] = mean_and_error(values)
    return row


def memory() -> dict[str, float]:
    """Peak memory of both, each in a process of its own, in MB."""
    found = {}
    for name in ("keras", "ours"):
        command = [sys.executable, "-m", "benchmarks.peak_memory", name]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[name] = json.loads(printed.splitlines()[-1])
    return {
        "peak_keras_mb": found["keras"]["peak"],
        "peak_ours_mb": found["ours"]["peak"],
        "features_mb": found["ours"]["features"],
    }


def claims(cases: dict[str, dict[str, Any]], used: dict[str, float]) -> dict[str, bool]:
    """What the documentation says of these figures, and whether it holds."""
    held = {}
    for case, least in (
        ("feature extraction", 8.0),
        ("last two blocks", 2.5),
        ("gradual unfreezing of six blocks", 2.0),
    ):
        if case in cases:
            held[f"{case}: at least {least} times as fast"] = cases[case]["ratio_vs_keras"] >= least
    for case, row in cases.items():
        if len(CASES[case][1]) > 1:  # where ours keeps the optimizer's state between stages
            continue
        apart = abs(row["accuracy_keras"] - row["accuracy_ours"])
        error = max(row["standard_error_keras"], row["standard_error_ours"])
        held[f"{case}: the same accuracy within a standard error"] = apart <= error
    if LIMIT_OF in cases:
        row = cases[LIMIT_OF]
        held["at most 1.15 times the limit"] = row["ratio_vs_limit"] <= 1.15
        held["at least 40 times as fast from the cache"] = row["ratio_vs_keras_warm"] >= 40
    if used:
        above = used["peak_ours_mb"] - used["peak_keras_mb"]
        held["at most 100 MB more memory"] = above <= 100 <= used["features_mb"] / 4
    return held


def show(cases: dict[str, dict[str, Any]], title: str) -> None:
    """Prints a table."""
    table = Table("case", "keras", "ours", "ratio", "cached", "ratio", "of limit", title=title)
    for case, row in cases.items():
        of_limit = "" if row["ratio_vs_limit"] is None else f"{row['ratio_vs_limit']:.2f}"
        table.add_row(
            case,
            f"{row['seconds_keras']:.1f} s, {row['accuracy_keras']:.3f}",
            f"{row['seconds_ours']:.1f} s, {row['accuracy_ours']:.3f}",
            f"{row['ratio_vs_keras']:.1f}",
            f"{row['seconds_warm']:.2f} s",
            f"{row['ratio_vs_keras_warm']:.1f}",
            of_limit,
        )
    Console().print(table)


def main() -> None:
    """Runs all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--style", default="noto")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--no-memory", action="store_true")
    arguments = parser.parse_args()
    warm_up(arguments.style)
    cases = {}
    for case in arguments.cases:
        cases[case] = compare(case, arguments.style, arguments.seeds)
        print(case, cases[case], flush=True)
    used = {} if arguments.no_memory else memory()
    show(cases, f"{arguments.style}, {arguments.seeds} seeds")
    for claim, holds in claims(cases, used).items():
        print("yes" if holds else "NO ", claim)
    print(json.dumps({"style": arguments.style, "cases": cases, "memory": used}))


def warm_up(style: str) -> None:
    """One epoch of everything."""
    data = kx.emoji_styles(style, image_size=SIZE)
    strategy = kx.FeatureExtraction()
    with tempfile.TemporaryDirectory() as folder:
        for run, *rest in ((plain,), (ours, folder), (ours, folder), (limit,)):
            run(new_model(data), data, strategy, [1], *rest)


if __name__ == "__main__":
    main()
