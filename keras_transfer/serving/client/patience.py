"""Asks again where a server was away or busy."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from keras_transfer.serving.client.errors import ServingError

_Found = TypeVar("_Found")
FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_SHORTEST_SECONDS = 1e-3


def patiently(
    deadline: float, call: Callable[..., _Found], *asked: Any, retry: bool = True
) -> _Found:
    """Calls until it succeeds, fails for good, or the time is over.

    A request whose time is over is not sent again: the server may still be computing the answer,
    and would do so twice.

    Args:
        deadline: of `time.monotonic`.
        call: gets what is asked and the seconds that are left.
        asked: arguments.
        retry: whether to call again at all.

    Raises:
        ServingError: the last one.
    """
    pause = FIRST_PAUSE
    while True:
        left = deadline - time.monotonic()
        try:
            return call(*asked, max(left, _SHORTEST_SECONDS))
        except ServingError as error:
            # By chance, so that clients that failed together do not come back together.
            wait = pause * random.uniform(0.5, 1.0)
            if not (retry and error.is_temporary) or deadline - time.monotonic() < wait:
                raise
        time.sleep(wait)
        pause = min(2 * pause, _LONGEST_PAUSE)
