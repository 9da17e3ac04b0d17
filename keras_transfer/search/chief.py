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

from keras_transfer.search.heartbeat import is_silent

_LOOK_EVERY = 0.2  # seconds
# A worker that loads its program, or whose thread waits for a long operation, is not dead.
SILENT_AFTER = 30.0


def is_chief() -> bool:
    """Whether this process is told to be one, in the variables that KerasTuner reads."""
    return "chief" in os.environ.get("KERASTUNER_TUNER_ID", "")


def serve(
    oracle: keras_tuner.Oracle,
    folder: pathlib.Path,
    hand_back: Callable[[str], None],
    *,
    silent_after: float = SILENT_AFTER,
) -> None:
    """Answers workers until the search is over and none has a trial.

    KerasTuner's own loop waits for ever for a worker that has died:
    https://github.com/keras-team/keras-tuner/blob/v1.4.7/keras_tuner/src/distribute/oracle_chief.py.

    Args:
        oracle: keras_tuner.Oracle.
        folder: of the search, where workers give signs of life.
        hand_back: gives the trial of a worker that has died to the next that asks.
        silent_after: seconds without a sign of life after which a worker is dead.
    """
    servicer = OracleServicer(oracle)
    # One thread: oracles are made for one call at a time.
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=1))
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    # Nobody outside this machine: the protocol knows no passwords.
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    server.add_insecure_port(address)
    server.start()
    began = time.monotonic()
    try:
        while not (servicer.stop_triggered and not oracle.ongoing_trials):
            time.sleep(_LOOK_EVERY)
            if time.monotonic() - began < silent_after:
                continue  # they may be waiting for this process to come back
            for worker in list(oracle.ongoing_trials):
                if is_silent(folder, worker, silent_after):
                    hand_back(worker)
    finally:
        # Those that still ask are told that it is over.
        server.stop(grace=2 * _LOOK_EVERY + 1).wait()
