"""How many predictions a server gives a second, and how long clients wait for them."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_transfer.serving.client.errors import ServingError
from keras_transfer.serving.client.question import as_array
from keras_transfer.serving.client.serving_client import ServingClient

# A larger batch has to gain so much, or it only costs latency.
_WORTHWHILE_GAIN, _AS_GOOD_AS_BEST = 1.2, 0.95
_LONGEST_WAIT_MICROS = 10_000


@dataclasses.dataclass(frozen=True)
class Load:
    """What was measured for some clients that ask all the time.

    Attributes:
        concurrency: int, how many clients.
        batch_size: int, examples in each request.
        examples_per_second: float.
        p50: float, seconds that half of the requests took at most.
        p95: float, the same of 95 in 100.
        p99: float, the same of 99 in 100.
        requests: int, how many were answered.
        errors: int, how many were refused or not answered.
    """

    concurrency: int
    batch_size: int
    examples_per_second: float
    p50: float
    p95: float
    p99: float
    requests: int
    errors: int


def measure_load(
    url: str,
    name: str,
    inputs: Sequence[Any],
    *,
    concurrency: int,
    batch_size: int,
    seconds: float,
    token: str | None = None,
) -> Load:
    """Asks a server from several clients at once, each with its own connection.

    Args:
        url: as in `kx.ServingClient`.
        name: of the model.
        inputs: bytes of pictures, or texts; taken in turns.
        concurrency: int from 1.
        batch_size: int from 1.
        seconds: how long, after one request of each client that does not count.
        token: as in `kx.ServingClient`.
    """
    batch = [inputs[place % len(inputs)] for place in range(batch_size)]
    started = time.monotonic()

    def client(_: int) -> tuple[list[tuple[float, float]], int]:
        found, errors = [], 0
        with ServingClient(url, batch_size=batch_size, token=token) as asking:
            [key] = asking.signatures(name)["serving_default"]
            tensors = {key: as_array(batch)}
            asking.predict(name, tensors)
            end = time.monotonic() + seconds
            while (before := time.monotonic()) < end:
                try:
                    asking.predict(name, tensors)
                    found.append((before, time.monotonic()))
                except ServingError:
                    errors += 1
        return found, errors

    with concurrent.futures.ThreadPoolExecutor(concurrency) as threads:
        told = list(threads.map(client, range(concurrency)))
    spans = [span for found, _ in told for span in found]
    errors = sum(errors for _, errors in told)
    if not spans:
        raise ServingError(
            f"Expected answers from {url} within {time.monotonic() - started:.0f} s. "
            f"Received: {errors} errors.",
            "UNAVAILABLE",
        )
    took = max(end for _, end in spans) - min(start for start, _ in spans)
    waits = np.array([end - start for start, end in spans])
    p50, p95, p99 = (float(x) for x in np.percentile(waits, [50, 95, 99]))
    speed = len(spans) * batch_size / took
    return Load(concurrency, batch_size, speed, p50, p95, p99, len(spans), errors)


def batching_parameters(loads: Sequence[Load], cores: int) -> str | None:
    """TF Serving's `--batching_parameters_file` for what was measured.

    The largest batch is the smallest one that gives nearly the best throughput of all; requests
    wait for others for half of what a request alone takes, ten milliseconds at most.

    Reference: "TensorFlow Serving Batching Guide".

    Args:
        loads: measured with several sizes of batches.
        cores: int, of the server.

    Returns:
        The text of the file; None where batches gain less than a fifth: serve without.
    """
    speeds: dict[int, float] = {}
    for load in loads:
        speeds[load.batch_size] = max(load.examples_per_second, speeds.get(load.batch_size, 0.0))
    best = max(speeds.values())
    if best < _WORTHWHILE_GAIN * speeds[min(speeds)]:
        return None
    size = min(size for size, speed in speeds.items() if speed >= _AS_GOOD_AS_BEST * best)
    largest = 2 ** math.ceil(math.log2(size))
    alone = min(load.p50 for load in loads if load.batch_size == min(speeds))
    wait = min(round(1e6 * alone / 2), _LONGEST_WAIT_MICROS)
    sizes = [2**power for power in range(int(math.log2(largest)) + 1)]
    return "".join(
        [
            f"max_batch_size {{ value: {largest} }}\n",
            f"batch_timeout_micros {{ value: {wait} }}\n",
            f"num_batch_threads {{ value: {cores} }}\n",
            f"max_enqueued_batches {{ value: {4 * cores} }}\n",
            *(f"allowed_batch_sizes: {size}\n" for size in sizes),
        ]
    )
