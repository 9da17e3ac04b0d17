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
import dataclasses
import functools
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import keras_transfer as kx

SIZE = (128, 128)
PICTURES = ("noto", "twemoji", "openmoji")
PAIRS = (
    "noto:openmoji",
    "noto:twemoji",
    "twemoji:noto",
    "openmoji:noto",
    "movies:products",
    "products:movies",
)
METHODS: dict[str, Callable[[], Any]] = {
    "MMD": kx.MaximumMeanDiscrepancy,
    "joint MMD": kx.JointMMD,
    "local MMD": kx.LocalMMD,
    "Deep CORAL": kx.DeepCoral,
    "DANN": kx.DomainAdversarial,
    "CDAN": kx.ConditionalAdversarial,
    "MCC": kx.MinimumClassConfusion,
    "information max.": kx.InformationMaximization,
    "nuclear norm": kx.BatchNuclearNorm,
    "self-training": kx.SelfTraining,
    "reconstruction": kx.Reconstruction,
}
SOURCE_ONLY, JOINT_ONLY, ORACLE = "source only", "joint BatchNorm alone", "oracle"
CHOSEN = "chosen"
BATCH_SIZE, RATE, HIDDEN = 64, 1e-3, 512
STEPS, STEPS_AN_EPOCH = 400, 20


@dataclasses.dataclass
class Domain:
    """Features of a domain's parts, and their labels.

    Attributes:
        train: `(features, labels)`, four fifths of the train half.
        held_out: the same of the rest of it.
        test: of the test half.
        class_names: list of str.
    """

    train: tuple[np.ndarray, np.ndarray]
    held_out: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    class_names: list[str]


@functools.cache
def load(name: str) -> Domain:
    """A domain's features, in an order of their own whatever ran before."""
    keras.utils.set_random_seed(0)
    if name in PICTURES:
        data = kx.emoji_styles(name, image_size=SIZE)
        backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*SIZE, 3))
        model = kx.Classifier(backbone, data.class_names, depths=5)
    else:
        preprocessor = kx.load_preprocessor("minilm_l6", sequence_length=64)
        data = kx.review_domains(name, preprocessor=preprocessor)
        model = kx.Classifier(kx.load_backbone("minilm_l6"), data.class_names, pooling="mean")
    kx.FeatureExtraction().apply(model)
    frozen_part, _ = kx.split_frozen(model)
    cache = kx.FeatureCache()

    def arrays(part: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
        found = cache.features(frozen_part, part, verbose=False)
        x, y = zip(*found.as_numpy_iterator(), strict=True)
        return np.concatenate(x), np.concatenate(y)

    parts = (arrays(part) for part in (data.train, data.validation, data.test))
    return Domain(*parts, class_names=data.class_names)


class TestAccuracy(keras.callbacks.Callback):
    """The oracle: accuracy on the test half after each epoch, which nothing is chosen by."""

    def __init__(self, test: tuple[np.ndarray, np.ndarray]):
        super().__init__()
        self.test = test
        self.values: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measures it."""
        self.values.append(accuracy(self.model, self.test))


def accuracy(model: keras.Model, part: tuple[np.ndarray, np.ndarray]) -> float:
    """The share of examples whose class is predicted."""
    logits = model(tf.constant(part[0]), training=False)
    return float(np.mean(logits.numpy().argmax(1) == part[1]))


def head(domain: Domain) -> keras.Model:
    """What is trained on the features."""
    shape = domain.train[0].shape[1:]
    features = keras.Sequential([keras.Input(shape), keras.layers.Identity()])
    return kx.Classifier(features, domain.class_names, standardize=True, hidden=[HIDDEN])


def batches(part: tuple[np.ndarray, np.ndarray], seed: int) -> tf.data.Dataset:
    """Shuffled, without a smaller last batch; several passes an epoch over few examples.

    The domains have the same emoji: by one seed, each would stand beside its counterpart.
    """
    data = tf.data.Dataset.from_tensor_slices(part).shuffle(len(part[1]), seed=seed)
    data = data.batch(BATCH_SIZE, drop_remainder=True)
    return data.repeat(max(1, STEPS_AN_EPOCH // int(data.cardinality())))


def run(
    case: str, source: Domain, target: Domain, evaluated: str, seed: int, guard: kx.CollapseGuard
) -> dict[str, Any]:
    """Trains one case from one seed; its accuracy, regret, scores and seconds."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = head(source)
    test = getattr(target, evaluated)
    labeled = target if case == ORACLE else source
    data = batches(labeled.train, seed)
    oracle = TestAccuracy(test)
    held_out = [
        tf.data.Dataset.from_tensor_slices(part).batch(256)
        for part in (target.held_out[0], source.held_out)
    ]
    learner, callbacks = model, [oracle]
    if case not in (SOURCE_ONLY, ORACLE):
        method = METHODS[case]() if case in METHODS else kx.InformationMaximization()
        weight = None if case in METHODS else 0.0
        learner = kx.DomainAdaptation(model, method, weight=weight)
        data = kx.pair_domains(data, batches(target.train, seed + 1000), target_labels="ignore")
        best = {"monitor": "val_target_score", "mode": "max", "restore_best_weights": True}
        callbacks += [
            kx.TargetScore(*held_out, guard=guard),
            keras.callbacks.EarlyStopping(patience=1000, **best),
        ]
    steps = int(data.cardinality())
    epochs = max(1, round(STEPS / steps))
    learner.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(RATE, epochs * steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    started = time.perf_counter()
    learner.fit(data, epochs=epochs, verbose=0, callbacks=callbacks, shuffle=False)
    seconds = time.perf_counter() - started
    found = accuracy(model, test)
    return {
        "accuracy": found,
        "regret": max(oracle.values) - found,
        "seconds": seconds,
        "probabilities": tf.nn.softmax(model(tf.constant(target.held_out[0]))).numpy(),
        "scores": final_scores(learner, held_out, guard),
    }


def final_scores(
    learner: keras.Model, held_out: list[tf.data.Dataset], guard: kx.CollapseGuard
) -> dict[str, float]:
    """What tells of a finished run without target labels."""
    score = kx.TargetScore(*held_out, scores=["discrepancy"], guard=guard)
    score.set_model(learner)
    logs: dict[str, float] = {}
    score.on_train_begin()
    score.on_epoch_end(0, logs)
    return {
        "discrepancy": logs["val_target_discrepancy"],
        "source_accuracy": logs["val_source_accuracy"],
    }


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
    """Mean and standard error."""
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return {"mean": float(values.mean()), "standard_error": float(error)}


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
