"""Who is told of a search while it runs: people, and TensorBoard on request."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_transfer.search.record.progress import progress_shown
from keras_transfer.search.record.tensorboard_log import HParamsLog
from keras_transfer.search.rules import Rules


@contextlib.contextmanager
def watched(rules: Rules, verbose: str | int, options: Mapping[str, Any]) -> Iterator[None]:
    """Tells within of every change; a worker's own rules never see one.

    Args:
        rules: of the search.
        verbose: of `kx.TransferTuner.search`.
        options: what `fit` gets besides.
    """
    callbacks = options.get("callbacks", ())
    boards = [x for x in callbacks if isinstance(x, keras.callbacks.TensorBoard)]
    logs = [HParamsLog(pathlib.Path(board.log_dir)) for board in boards]
    rules.listeners += logs
    try:
        with contextlib.ExitStack() as stack:
            if verbose != 0:
                live = verbose == "auto"
                stack.enter_context(progress_shown(rules, epochs=options.get("epochs"), live=live))
            yield
    finally:
        for log in logs:
            rules.listeners.remove(log)
            log.close()
