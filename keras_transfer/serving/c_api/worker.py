"""The process that loads and runs versions: `python -m keras_transfer.serving.c_api.worker`.

`engine` starts it, writes to its standard input and reads from its standard output. It must import
nothing that imports TensorFlow.
"""

from __future__ import annotations

import concurrent.futures
import os
import sys
import threading
from typing import Any

from keras_transfer.serving.c_api.frames import Arrays, read_frame, write_frame
from keras_transfer.serving.c_api.session import ModelError, Session

# Sessions share TensorFlow's own threads; these only wait for them.
_THREADS = 32


class _Worker:
    def __init__(self) -> None:
        # What libraries print goes where errors go, not among the frames.
        self._answers = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._writing = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def work(self) -> None:
        """Until the other end closes."""
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
            while frame := read_frame(sys.stdin.buffer):
                threads.submit(self._answer, *frame)
        for session in self._sessions.values():
            session.close()

    def _answer(self, told: dict[str, Any], arrays: Arrays) -> None:
        answer: dict[str, Any] = {"id": told["id"]}
        results: Arrays = {}
        try:
            if told["do"] == "load":
                self._sessions[told["model"]] = Session(told["path"], told["op_libraries"])
            elif told["do"] == "unload":
                self._sessions.pop(told["model"]).close()
            else:
                results = self._sessions[told["model"]].run(arrays, told["outputs"])
        except ModelError as error:
            answer |= {"error": str(error), "code": error.code}
        except Exception as error:  # a caller waits for every answer
            answer |= {"error": f"{type(error).__name__}: {error}", "code": ModelError.INTERNAL}
        with self._writing:
            write_frame(self._answers, answer, results)


if __name__ == "__main__":
    _Worker().work()
