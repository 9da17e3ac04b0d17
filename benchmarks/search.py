"""A search beside KerasTuner's own: the same trials, seconds, epochs and the best accuracy.

`python -m benchmarks.search [--trials 20] [--epochs 8] [--style noto] [--seeds 3] [--blocks 2 0]`:
width of the head, rate, dropout and how many of the last blocks are trained (none, one or two; then
none alone), at 128 px. Both tuners try the same values in the same order, those of KerasTuner's
random oracle, and build each model by the same function. Ours runs the frozen part once for all
trials and writes the state of every epoch; "pruned" ends trials by `kx.SuccessiveHalving`, over
seeds. "best" is the validation accuracy of the best trial, "test" what its model reaches on the
test half. Prints a table; the last line is JSON.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from typing import Any

import keras
import keras_tuner
from rich.console import Console
from rich.table import Table

import keras_transfer as kx
from benchmarks.over_seeds import mean_and_error

SIZE = (128, 128)
OBJECTIVE = keras_tuner.Objective("val_accuracy", "max")


def build(hp: keras_tuner.HyperParameters, *, class_names: list[str], blocks: int) -> keras.Model:
    """A model of the space, in plain Keras but for head and flags."""
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*SIZE, 3))
    model = kx.Classifier(
        backbone,
        class_names,
        hidden=[hp.Choice("head", [64, 128, 256])],
        dropout=hp.Float("dropout", 0.0, 0.5),
    )
    trained = hp.Int("blocks", 0, blocks)
    (kx.FineTuning(trained) if trained else kx.FeatureExtraction()).apply(model)
    model.compile(
        keras.optimizers.Adam(hp.Float("rate", 1e-4, 1e-2, sampling="log")),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def search(case: str, data: kx.Splits, blocks: int, seed: int, trials: int, epochs: int) -> Any:
    """One search; what it took and found."""
    keras.utils.set_random_seed(seed)
    space = functools.partial(build, class_names=data.class_names, blocks=blocks)
    options = {"directory": tempfile.mkdtemp(), "project_name": case}
    started = time.perf_counter()
    oracle = keras_tuner.oracles.RandomSearchOracle(OBJECTIVE, max_trials=trials, seed=seed + 1)
    fitting: dict[str, Any] = {"epochs": epochs, "verbose": 0}
    if case == "KerasTuner":
        tuner = keras_tuner.Tuner(oracle, space, **options)
        fitting["shuffle"] = False  # Keras warns that it does not shuffle a dataset
    else:
        pruner = kx.SuccessiveHalving(factor=2) if case == "pruned" else None
        tuner = kx.TransferTuner(space, oracle=oracle, pruner=pruner, **options)
    counted = CountEpochs()
    tuner.search(data.train, validation_data=data.validation, callbacks=[counted], **fitting)
    seconds = time.perf_counter() - started
    [best] = tuner.oracle.get_best_trials(1)
    test = tuner.get_best_models(1)[0].evaluate(data.test, verbose=0, return_dict=True)
    return {
        "seconds": seconds,
        "epochs": counted.total[0],
        "best": best.score,
        "test": test["accuracy"],
        "values": [x.hyperparameters.values for x in tuner.oracle.trials.values()],
    }


class CountEpochs(keras.callbacks.Callback):
    """Counts over all trials: copies share the list."""

    def __init__(self) -> None:
        super().__init__()
        self.total = [0]

    def __deepcopy__(self, memo: Any) -> CountEpochs:
        """With the same list."""
        copy = CountEpochs()
        copy.total = self.total
        return copy

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """One more."""
        self.total[0] += 1


def main() -> None:
    """Searches the spaces by all tuners."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--style", default="noto")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--blocks", type=int, nargs="*", default=[2, 0])
    arguments = parser.parse_args()
    data = kx.emoji_styles(arguments.style, image_size=SIZE)
    size = {"trials": arguments.trials, "epochs": arguments.epochs}
    # What a process pays once is nobody's.
    for case in ("KerasTuner", "ours"):
        search(case, data, 0, 0, trials=1, epochs=1)
    figures = {
        f"blocks 0 to {blocks}" if blocks else "frozen": compare(
            data, blocks, arguments.seeds, size
        )
        for blocks in arguments.blocks
    }
    show(figures)
    print(json.dumps({**vars(arguments), "spaces": figures}))


def compare(data: kx.Splits, blocks: int, seeds: int, size: dict[str, int]) -> dict[str, Any]:
    """One space: KerasTuner's and ours from one seed, ours over seeds with and without pruning."""
    stock = search("KerasTuner", data, blocks, 0, **size)
    ours = [search("ours", data, blocks, seed, **size) for seed in range(seeds)]
    pruned = [search("pruned", data, blocks, seed, **size) for seed in range(seeds)]
    same = stock.pop("values") == ours[0]["values"]
    return {
        "KerasTuner": summary([stock]),
        "ours": summary(ours),
        "pruned": summary(pruned),
        "same_trials": same,
        "times_faster": stock["seconds"] / ours[0]["seconds"],
        "share_of_epochs_when_pruned": sum(x["epochs"] for x in pruned)
        / sum(x["epochs"] for x in ours),
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard error over seeds."""
    found: dict[str, Any] = {}
    for name in ("seconds", "epochs", "best", "test"):
        mean, error = mean_and_error([run[name] for run in runs])
        found[name] = {"mean": mean, "standard_error": error}
    return found


def show(figures: dict[str, dict[str, Any]]) -> None:
    """A table for people."""
    for space, of_space in figures.items():
        table = Table("tuner", "seconds", "epochs", "best", "test", title=space)
        for case in ("KerasTuner", "ours", "pruned"):
            x = of_space[case]
            table.add_row(
                case,
                f"{x['seconds']['mean']:.0f}",
                f"{x['epochs']['mean']:.0f}",
                *(f"{x[k]['mean']:.3f} ± {x[k]['standard_error']:.3f}" for k in ("best", "test")),
            )
        Console(width=100).print(table)
        print(
            f"{of_space['times_faster']:.1f} times as fast, the same trials: "
            f"{of_space['same_trials']}; pruned: "
            f"{of_space['share_of_epochs_when_pruned']:.2f} of the epochs"
        )


if __name__ == "__main__":
    main()
