"""The process that gives trials to workers, over KerasTuner's own protocol."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import time
from collections.abc import Callable

import grpc
import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from keras_transfer.search.workers.heartbeat import Watch

_LOOK_EVERY = 0.2  # seconds
# A worker that loads its program, or whose thread waits for a long operation, is not dead.
SILENT_AFTER = 30.0


def is_chief() -> bool:
    """Whether this process is told to be one, in the variables that KerasTuner reads."""
    return "chief" in os.environ.get("KERASTUNER_TUNER_ID", "")


def serve(
    oracle: keras_tuner.Oracle,
    folder: pathlib.Path,
    forget: Callable[[str], None],
    *,
    silent_after: float = SILENT_AFTER,
) -> None:
    """Answers workers until the search is over and all of them have been told so.

    KerasTuner's own loop waits for ever for a worker that has died:
    https://github.com/keras-team/keras-tuner/blob/v1.4.7/keras_tuner/src/distribute/oracle_chief.py.

    Args:
        oracle: keras_tuner.Oracle.
        folder: of the search, where workers give signs of life.
        forget: gives the trial of a worker that has died to the next that asks.
        silent_after: seconds without a sign of life after which a worker is dead.

    Raises:
        RuntimeError: if somebody else uses the port.
    """
    servicer = OracleServicer(oracle)
    # One thread: oracles are made for one call at a time. A port of its own: else workers of two
    # searches might get trials of either.
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)]
    )
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    # Nobody outside this machine: the protocol knows no passwords.
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    server.add_insecure_port(address)
    server.start()
    watch = Watch(folder, silent_after)
    try:
        while not servicer.stop_triggered or oracle.ongoing_trials or oracle.tuner_ids:
            time.sleep(_LOOK_EVERY)
            for worker in {*oracle.ongoing_trials, *oracle.tuner_ids}:
                if watch.is_silent(worker):
                    forget(worker)
    finally:
        server.stop(grace=1.0).wait()
