"""How many predictions a server gives a second, and how long clients wait for them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_transfer.serving.client.errors import ServingError
from keras_transfer.serving.client.input_names import only_input
from keras_transfer.serving.client.question import as_array
from keras_transfer.serving.client.serving_client import ServingClient
from keras_transfer.serving.signatures.names import DEFAULT

# A larger batch has to gain so much, or it only costs latency.
_WORTHWHILE_GAIN, _AS_GOOD_AS_BEST = 1.2, 0.95
_LONGEST_WAIT_MICROS = 10_000
# Rows in a warm-up request of exported versions. TF Serving warms up through its batching, which
# refuses what is larger than `max_batch_size`, and the version with it.
SMALLEST_MAX_BATCH_SIZE = 8


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
        errors: int, how many were refused or not answered, each at its first try.
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

    They send nothing again: what a full queue refuses is counted as an error, and no latency
    holds a second try.

    Args:
        url: as in `kx.ServingClient`.
        name: of the model.
        inputs: bytes of pictures, or texts; taken in turns.
        concurrency: int from 1.
        batch_size: int from 1.
        seconds: how long, after one request of each client that does not count.
        token: as in `kx.ServingClient`.

    Raises:
        ServingError: if the server has no such model, or answers no request at all.
        ValueError: if its default signature takes several inputs.
    """
    batch = as_array([inputs[place % len(inputs)] for place in range(batch_size)])
    with ServingClient(url, batch_size=batch_size, token=token) as asking:
        tensors = {only_input(asking.signatures(name), DEFAULT): batch}
        asking.predict(name, tensors)  # what is wrong for good is told here

    def client(_: int) -> tuple[list[tuple[float, float]], int, ServingError | None]:
        found: list[tuple[float, float]] = []
        errors, last = 0, None
        with ServingClient(url, batch_size=batch_size, token=token, retry=False) as asking:
            with contextlib.suppress(ServingError):
                asking.predict(name, tensors)
            end = time.monotonic() + seconds
            while not (found or errors) or time.monotonic() < end:
                before = time.monotonic()
                try:
                    asking.predict(name, tensors)
                    found.append((before, time.monotonic()))
                except ServingError as error:
                    errors, last = errors + 1, error
        return found, errors, last

    with concurrent.futures.ThreadPoolExecutor(concurrency) as threads:
        told = list(threads.map(client, range(concurrency)))
    spans = [span for found, _, _ in told for span in found]
    errors = sum(errors for _, errors, _ in told)
    last = next((error for _, _, error in told if error is not None), None)
    if last is not None and not spans:
        raise ServingError(
            f"Expected answers from {url} within {seconds:g} s. "
            f"Received: {errors} errors, such as: {last}",
            last.status,
        )
    took = max(end for _, end in spans) - min(start for start, _ in spans)
    waits = np.array([end - start for start, end in spans])
    p50, p95, p99 = (float(x) for x in np.percentile(waits, [50, 95, 99]))
    speed = len(spans) * batch_size / took
    return Load(concurrency, batch_size, speed, p50, p95, p99, len(spans), errors)


def batching_parameters(loads: Sequence[Load], cores: int) -> str | None:
    """TF Serving's `--batching_parameters_file` for what was measured.

    The largest batch is the smallest one that gives nearly the best throughput of all, eight at
    least, as exported versions warm up with so many examples; requests wait for others for half of
    what a request alone takes, ten milliseconds at most.

    Reference: "TensorFlow Serving Batching Guide".

    Args:
        loads: measured with several sizes of batches.
        cores: int, of the server.

    Returns:
        The text of the file; None where larger batches gain less than a fifth over the smallest
        ones measured, or one size alone was measured.
    """
    speeds: dict[int, float] = {}
    for load in loads:
        speeds[load.batch_size] = max(load.examples_per_second, speeds.get(load.batch_size, 0.0))
    best = max(speeds.values())
    # Of one size this holds, too.
    if best < _WORTHWHILE_GAIN * speeds[min(speeds)]:
        return None
    size = min(size for size, speed in speeds.items() if speed >= _AS_GOOD_AS_BEST * best)
    largest = max(2 ** math.ceil(math.log2(size)), SMALLEST_MAX_BATCH_SIZE)
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
