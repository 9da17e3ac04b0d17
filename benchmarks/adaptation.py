"""What each method of domain adaptation gains, chosen without target labels, over seeds.

`python -m benchmarks.adaptation [--seeds 3] [--pairs noto:openmoji ...] [--methods ...]`, under 30
minutes on two cores: trained on the labeled train half of the source and the unlabeled train half
of the target, evaluated on the test half of the target. Backbones are frozen and run once;
everything is trained on their features by one pipeline, with the default settings of each method.
Source-only is the same model without adaptation, the oracle one trained on the target's labels.
The epoch is chosen by `kx.TargetScore` on a fifth of the target's train half, without its labels,
and the regret of that is told: how much better the best epoch is on the test half. "chosen" is the
run of a pair and seed that `kx.rank_average` takes of all by `kx.ensemble_scores` and
`kx.discrepancy_score`, without the target's labels; its regret is that against the best run.
Settings were chosen with `--validation`, which evaluates on that fifth instead of the test half.
Prints a table of mean and standard error over seeds; the last line is JSON.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import json
import multiprocessing
import os
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import keras_transfer as kx
from benchmarks.adaptation_run import (
    JOINT_ONLY,
    METHODS,
    ORACLE,
    PICTURES,
    SOURCE_ONLY,
    load,
    run,
)
from benchmarks.over_seeds import mean_and_error

PAIRS = (
    "noto:openmoji",
    "noto:twemoji",
    "twemoji:noto",
    "openmoji:noto",
    "movies:products",
    "products:movies",
)
CHOSEN = "chosen"


def main() -> None:
    """Runs every case on every pair over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", nargs="*", default=PAIRS)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    evaluated = "held_out" if arguments.validation else "test"
    cases = [SOURCE_ONLY, JOINT_ONLY, *arguments.methods, ORACLE]
    # A process a core: so small a training gains next to nothing by a second thread.
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs, spawn, one_thread) as pool:
        of_pair = functools.partial(
            pair_figures, cases=cases, evaluated=evaluated, seeds=arguments.seeds
        )
        figures = dict(zip(arguments.pairs, pool.map(of_pair, arguments.pairs), strict=True))
    show(figures)
    print(json.dumps({**vars(arguments), "pairs": figures}))


def one_thread() -> None:
    """For a process beside others."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def pair_figures(
    pair: str, cases: list[str], evaluated: str, seeds: int
) -> dict[str, dict[str, Any]]:
    """Mean and standard error of each case on one pair."""
    source, target = (load(name) for name in pair.split(":"))
    runs: dict[str, list[dict[str, Any]]] = {case: [] for case in (*cases, CHOSEN)}
    for seed in range(seeds):
        guard = kx.CollapseGuard()
        for case in cases:
            found = run(case, source, target, evaluated, seed, guard)
            if case == SOURCE_ONLY:
                guard = kx.CollapseGuard(found["scores"]["source_accuracy"])
            runs[case].append(found)
        runs[CHOSEN].append(chosen({case: runs[case][-1] for case in cases if case != ORACLE}))
    reference = np.array([x["accuracy"] for x in runs[SOURCE_ONLY]])
    room = np.mean([x["accuracy"] for x in runs[ORACLE]]) - reference.mean()
    figures = {}
    for case, of_case in runs.items():
        values = np.array([x["accuracy"] for x in of_case])
        gains = values - reference
        figures[case] = {
            "accuracy": summary(values),
            "gain": summary(gains),
            "gap_closed": float(gains.mean() / room),
            "seconds": float(np.median([x["seconds"] for x in of_case])),
            "regrets": [x["regret"] for x in of_case],
        }
        print(f"{pair} {case}: {values.mean():.3f}, gain {gains.mean():+.3f}", flush=True)
    return figures


def chosen(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The run that is taken without the target's labels; its regret against the best one."""
    # Those that the guard rejects have no say.
    sound = {case: x for case, x in runs.items() if np.isfinite(x["scores"]["discrepancy"])}
    agreement = kx.ensemble_scores({case: x["probabilities"] for case, x in sound.items()})
    scores = {
        case: {"agreement": agreement[case], "discrepancy": x["scores"]["discrepancy"]}
        for case, x in sound.items()
    }
    taken = runs[next(iter(kx.rank_average(scores)))]
    return taken | {"regret": max(x["accuracy"] for x in runs.values()) - taken["accuracy"]}


def summary(values: np.ndarray) -> dict[str, float]:
    """Mean and standard error, for JSON."""
    mean, error = mean_and_error(values)
    return {"mean": mean, "standard_error": error}


def show(figures: dict[str, dict[str, Any]]) -> None:
    """Tables for people: each pair's, and the means over pairs of pictures."""
    console = Console(width=100)
    for pair, of_pair in figures.items():
        table = Table("case", "accuracy", "gain", "gap closed", "regret", "s", title=pair)
        for case, x in of_pair.items():
            table.add_row(
                case,
                f"{x['accuracy']['mean']:.3f} ± {x['accuracy']['standard_error']:.3f}",
                f"{x['gain']['mean']:+.3f} ± {x['gain']['standard_error']:.3f}",
                f"{x['gap_closed']:.2f}",
                f"{np.mean(x['regrets']):.3f}",
                f"{x['seconds']:.1f}",
            )
        console.print(table)
    pictures = [x for pair, x in figures.items() if pair.split(":")[0] in PICTURES]
    if pictures:
        table = Table("case", "mean gain", "mean regret", "worst regret", title="pairs of pictures")
        for case in pictures[0]:
            gain = np.mean([x[case]["gain"]["mean"] for x in pictures])
            regrets = [value for x in pictures for value in x[case]["regrets"]]
            table.add_row(case, f"{gain:+.3f}", f"{np.mean(regrets):.3f}", f"{max(regrets):.3f}")
        console.print(table)


if __name__ == "__main__":
    main()
