"""What the maximum mean discrepancy costs, against the peers' way of computing it.

`python -m benchmarks.mmd [--limit-gb 6]`: value and gradient of five kernels at 512 examples a
domain and 2,048 features, in a `tf.function` on the CPU. The peer is what other libraries do,
written down anew: the differences of all pairs as a tensor (N, N, d), once for each kernel, with
N = 1024 (of which TensorFlow's graphs may share what is equal). That is 8.6 GB a tensor, of which
several are in memory at a time: the peer is not run at widths that would not fit into
`--limit-gb`, but at the widest that does, from which its time and memory are scaled to 2,048 in
proportion. Half that width shows how far they are. Each case runs in a process of its own, whose
peak counts from after the features were made and the graph had run on a tiny batch.

Then a training step of EfficientNet-Lite0 on 32 pictures of each domain at 128 px, all weights
trained, with and without the discrepancy of the 1,280 features, in turns; the median over rounds
of the ratio of two neighbors, as other load comes and goes. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import keras
import tensorflow as tf

import keras_transfer as kx

EXAMPLES, WIDTH = 512, 2048
LADDER = (0.25, 0.5, 1.0, 2.0, 4.0)
# Of the peer's tensors (N, N, d), so many are in memory at a time, as measured.
TENSORS = 7
STEPS = {"ours": 10, "peer": 3}


def peer(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Biased, with a bandwidth of the mean, as libraries that broadcast have it."""
    pooled, n = tf.concat([source, target], axis=0), tf.shape(source)[0]
    total = 0.0
    for factor in LADDER:
        squared = tf.reduce_sum((pooled[:, None] - pooled[None, :]) ** 2, axis=2)
        number = tf.cast(tf.shape(pooled)[0], tf.float32)
        bandwidth = tf.stop_gradient(tf.reduce_sum(squared) / (number**2 - number))
        total += tf.exp(-squared / (factor * bandwidth)) / len(LADDER)
    within = tf.reduce_mean(total[:n, :n]) + tf.reduce_mean(total[n:, n:])
    return within - 2 * tf.reduce_mean(total[:n, n:])


def peak() -> float:
    """Most memory that this process has had at a time, in MB."""
    # Not `getrusage`, which counts what the process was forked from.
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 / 1e6 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def measure(how: str, width: int) -> dict[str, float]:
    """Seconds a step, and the memory that it takes at most; in this process."""
    loss = peer if how == "peer" else kx.MaximumMeanDiscrepancy(estimator="biased")

    @tf.function(reduce_retracing=True)
    def step(source: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch([source, target])
            value = loss(source, target)
        return value, tape.gradient(value, [source, target])

    random = tf.random.Generator.from_seed(0)
    step(random.normal([4, 8]), random.normal([4, 8]))
    source, target = random.normal([EXAMPLES, width]), random.normal([EXAMPLES, width], 0.1)
    before = peak()
    value = float(step(source, target)[0])
    seconds = []
    for _ in range(STEPS[how]):
        started = time.perf_counter()
        step(source, target)
        seconds.append(time.perf_counter() - started)
    memory = peak() - before
    return {"seconds": statistics.median(seconds), "megabytes": memory, "value": value}


def in_process(how: str, width: int) -> dict[str, float]:
    """The figures of one case, whose peak is its own."""
    command = [sys.executable, "-m", "benchmarks.mmd", "--case", how, "--width", str(width)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    print(f"{how}, {width} features: {figures}", flush=True)
    return figures


def compare(limit_gb: float) -> dict[str, float]:
    """Ours at the full width against the peer at the widest that fits, scaled."""
    widest = WIDTH
    while 4 * (2 * EXAMPLES) ** 2 * widest * TENSORS > limit_gb * 1e9:
        widest //= 2
    ours = in_process("ours", WIDTH)
    half, whole = in_process("peer", widest // 2), in_process("peer", widest)
    same = in_process("ours", widest)
    scale = WIDTH / widest
    return {
        "peer_width": widest,
        "peer_growth_seconds": whole["seconds"] / half["seconds"],
        "peer_growth_memory": whole["megabytes"] / half["megabytes"],
        "time_ratio_same_width": whole["seconds"] / same["seconds"],
        "memory_ratio_same_width": whole["megabytes"] / same["megabytes"],
        "difference_of_values": abs(whole["value"] - same["value"]),
        "ours_seconds": ours["seconds"],
        "ours_megabytes": ours["megabytes"],
        "time_ratio_scaled": scale * whole["seconds"] / ours["seconds"],
        "memory_ratio_scaled": scale * whole["megabytes"] / ours["megabytes"],
    }


def training_step(
    model: keras.Model, discrepancy: keras.layers.Layer | None
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """One step on 32 pictures of the source and 32 of the target."""
    head = keras.layers.Dense(8)
    head.build([None, 1280])
    weights = model.trainable_variables + head.trainable_variables
    optimizer = keras.optimizers.SGD(1e-4)
    optimizer.build(weights)

    @tf.function
    def step(pixels: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            features = tf.reduce_mean(model(pixels, training=True), axis=[1, 2])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, head(features[:32]))
            loss = tf.reduce_mean(losses)
            if discrepancy is None:
                loss += 0 * tf.reduce_mean(features[32:])
            else:
                loss += discrepancy(features[:32], features[32:])
        optimizer.apply(tape.gradient(loss, [v.value for v in weights]), weights)
        return loss

    return step


def overhead(rounds: int) -> dict[str, float]:
    """Seconds of a training step without and with the discrepancy, one after the other."""
    model = kx.load_backbone("efficientnet_lite0", input_shape=(128, 128, 3))
    model.trainable = True
    steps = [training_step(model, each) for each in (None, kx.MaximumMeanDiscrepancy())]
    pixels = tf.random.Generator.from_seed(0).uniform([64, 128, 128, 3], 0, 255)
    labels = tf.range(32) % 8
    seconds: list[list[float]] = [[], []]
    for number in range(rounds + 2):
        for which in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            float(steps[which](pixels, labels))
            if number >= 2:
                seconds[which].append(time.perf_counter() - started)
    ratios = [b / a for a, b in zip(*seconds, strict=True)]
    return {
        "step_seconds": statistics.median(seconds[0]),
        "step_seconds_with_mmd": statistics.median(seconds[1]),
        "step_ratio": statistics.median(ratios),
        "step_ratio_of_fastest": min(seconds[1]) / min(seconds[0]),
    }


def main() -> None:
    """Runs everything, or one case for another process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit-gb", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--case", choices=("ours", "peer"))
    parser.add_argument("--width", type=int, default=WIDTH)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, arguments.width)))
        return
    figures = compare(arguments.limit_gb) | overhead(arguments.rounds)
    for claim, holds in (
        ("10 times as fast as the peer", figures["time_ratio_scaled"] >= 10),
        ("a hundredth of its memory", figures["memory_ratio_scaled"] >= 100),
        ("at most 5 % of a training step", figures["step_ratio"] <= 1.05),
    ):
        print("yes" if holds else "NO ", claim)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
