"""The process of `benchmarks.serving` that runs a version; it has no TensorFlow for Python."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection

import numpy as np

from keras_transfer.serving.c_api.session import Session

Request = tuple[dict[str, np.ndarray], list[str]]


def serve_turns(
    version: str, requests: dict[str, Request], batches: int, connection: Connection
) -> None:
    """Gets the names of requests, runs each so many times, and tells the seconds."""
    session = Session(version, [])
    while (case := connection.recv()) is not None:
        inputs, outputs = requests[case]
        started = time.perf_counter()
        for _ in range(batches):
            session.run(inputs, outputs)
        connection.send(time.perf_counter() - started)
    session.close()
