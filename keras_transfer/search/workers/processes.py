"""Several workers on one machine: starts them and their chief, and again where one is killed."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence

from keras_transfer.search.workers.parent import PARENT

_LOOK_EVERY = 0.2  # seconds
_TO_END = 10.0  # seconds to end by itself
_RESTARTS = 3  # of one process; a worker that is killed again and again is so for a reason
_CHIEF = "chief"

Processes = dict[str, subprocess.Popen[bytes]]


def run_workers(
    command: Sequence[str], count: int, *, gpus: Sequence[str] = (), restarts: int = _RESTARTS
) -> None:
    """Runs a command that searches as a chief and so many workers, until the search is over.

    They talk over KerasTuner's protocol on this machine alone. A process that is killed is started
    again: a worker gets its trial back and goes on after its last epoch, a chief takes up the
    search where it was. One that ends with an error of its own would do so again: then all end.
    Nothing is left running, however this process ends.

    Args:
        command: the program and its arguments, which make a `kx.TransferTuner` and search.
        count: int from 1.
        gpus: numbers of GPUs; each worker gets one in turn. Without, workers share what there is.
        restarts: int from 0, how often each process may be killed.

    Raises:
        RuntimeError: if one has ended with an error, or was killed more often.
        ValueError: if `count` is below 1.

    Example:

    >>> import sys
    >>> import keras_transfer as kx
    >>> program = "print('Here a kx.TransferTuner would search.')"  # or "my_search.py"
    >>> kx.run_workers([sys.executable, "-c", program], 2, gpus=["0", "1"])
    """
    if count < 1:
        raise ValueError(f"Expected `count` of at least 1 worker. Received: {count}.")
    environments = _environments(count, gpus)
    left = dict.fromkeys(environments, restarts)
    processes: Processes = {}
    try:
        for name, own in environments.items():
            processes[name] = subprocess.Popen(list(command), env=os.environ | own)
        while not _over(processes):
            time.sleep(_LOOK_EVERY)
            for name in _killed(processes, left):
                processes[name] = subprocess.Popen(
                    list(command), env=os.environ | environments[name]
                )
        _wait(processes.values())  # those that have just been told that it is over
    finally:
        _end(processes.values())


def _environments(count: int, gpus: Sequence[str]) -> dict[str, dict[str, str]]:
    shared = {
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(_free_port()),
        PARENT: str(os.getpid()),
        # Else the first takes all memory of a GPU that several share.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
    # The chief trains nothing.
    found = {_CHIEF: {**shared, "CUDA_VISIBLE_DEVICES": "-1"}}
    for number in range(count):
        own = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
        found[f"worker{number}"] = {**shared, **own}
    return {name: {**own, "KERASTUNER_TUNER_ID": name} for name, own in found.items()}


def _over(processes: Processes) -> bool:
    """Whether the chief says so, or all workers were told."""
    ended = {name: process.poll() == 0 for name, process in processes.items()}
    return ended.pop(_CHIEF) or all(ended.values())


def _killed(processes: Processes, left: dict[str, int]) -> list[str]:
    """Which are to be started again.

    Raises:
        RuntimeError: if one has ended by itself, or there is no restart left.
    """
    found = []
    for name, process in processes.items():
        status = process.poll()
        if status in (None, 0):
            continue
        if status > 0:
            raise RuntimeError(
                f"Expected {name} of the search to run to its end; what it said is above. "
                f"Received: exit status {status}."
            )
        if left[name] == 0:
            raise RuntimeError(
                f"Expected {name} of the search to run; it was killed again and again, maybe "
                f"for want of memory: take fewer workers. Received: signal {-status}."
            )
        left[name] -= 1
        found.append(name)
    return found


def _wait(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Until all have ended, or it has taken too long."""
    until = time.monotonic() + _TO_END
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))


def _end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    _wait(running)
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
