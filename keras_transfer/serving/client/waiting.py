"""Waits until a server has a version."""

from __future__ import annotations

import time
from collections.abc import Callable

from keras_transfer.serving.client.errors import ServingError
from keras_transfer.serving.client.patience import FIRST_PAUSE, patiently
from keras_transfer.serving.client.question import Question, State

_SECONDS_TO_BEGIN = 15
_LATE = "DEADLINE_EXCEEDED"


def wait_until_available(
    ask: Callable[[Question, float], dict[int, State]],
    name: str,
    version: int | None,
    timeout: float,
) -> None:
    """Returns when a version, or any, can be asked.

    Args:
        ask: gives the states of all versions within some seconds.
        name: of the model.
        version: int; None for any.
        timeout: seconds.

    Raises:
        ServingError: if that is not so when the time is over, or the version failed to load.
    """
    deadline = time.monotonic() + timeout
    states: dict[int, State] | None = None
    while True:
        try:
            states = patiently(deadline, ask, Question(name))
        except ServingError as error:
            if error.status == "NOT_FOUND":
                states = {}
            # The last question may have had no time left; what was told before says more.
            elif states is None or error.status != _LATE:
                raise
        found = list(states.values()) if version is None else [states.get(version, State(""))]
        if "AVAILABLE" in [state.name for state in found]:
            return
        # At first it may be the end of an earlier time that the version was loaded.
        if version is not None and deadline - time.monotonic() < timeout - _SECONDS_TO_BEGIN:
            _check_not_ended(f"{name}/{version}", found[0])
        if time.monotonic() > deadline:
            shown = {number: str(state) for number, state in states.items()}
            raise ServingError(
                f"Expected {name}/{version or 'any version'} to become available within "
                f"{timeout:g} s. Received: {shown}.",
                _LATE,
            )
        time.sleep(FIRST_PAUSE)


def _check_not_ended(version: str, state: State) -> None:
    if state.name != "END":
        return
    if state.error:
        message = f"{version} failed to load: {state.error}; run keras-transfer verify on it"
    else:
        message = f"{version} was unloaded; have the server's models.config name it"
    raise ServingError(message, "FAILED_PRECONDITION")
