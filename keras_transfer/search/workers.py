"""Several workers on one machine: starts them and their chief, and again where one dies."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Sequence

_LOOK_EVERY = 0.2  # seconds
_RESTARTS = 3  # of one process; a worker that dies again and again does so for a reason


def run_workers(
    command: Sequence[str], count: int, *, gpus: Sequence[str] = (), restarts: int = _RESTARTS
) -> None:
    """Runs a command that searches as a chief and so many workers, until the search is over.

    They talk over KerasTuner's protocol on this machine alone. A process that dies is started
    again: a worker gets its trial back and goes on after its last epoch, a chief takes up the
    search where it was.

    Args:
        command: the program and its arguments, which make a `kx.TransferTuner` and search.
        count: int from 1.
        gpus: numbers of GPUs; each worker gets one in turn. Without, workers share what there is.
        restarts: int from 0, how often each process may die.

    Raises:
        RuntimeError: if one has died more often.
        ValueError: if `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"Expected `count` of at least 1 worker. Received: {count}.")
    shared = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(_free_port())}
    # The chief trains nothing.
    environments = {"chief": {**shared, "CUDA_VISIBLE_DEVICES": "-1"} if gpus else shared}
    for number in range(count):
        own = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
        environments[f"worker{number}"] = {**shared, **own}
    processes = {name: _start(command, name, own) for name, own in environments.items()}
    left = dict.fromkeys(processes, restarts)
    try:
        while processes["chief"].poll() != 0:
            time.sleep(_LOOK_EVERY)
            for name, process in processes.items():
                if process.poll() in (None, 0):
                    continue
                if left[name] == 0:
                    raise RuntimeError(
                        f"Expected {name} of the search to run; it has died {restarts + 1} times. "
                        f"Received: exit status {process.returncode}; what it said is above."
                    )
                left[name] -= 1
                processes[name] = _start(command, name, environments[name])
    finally:
        for process in processes.values():
            _end(process)


def _start(command: Sequence[str], name: str, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(command), env={**os.environ, **variables, "KERASTUNER_TUNER_ID": name}
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=10)  # told that it is over
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
