"""What is wrong with a version."""

from __future__ import annotations

import pathlib


class VerificationError(RuntimeError):
    """An exported version is not what it should be; `.problems` lists why.

    Args:
        version: the version's folder.
        problems: one sentence each.
    """

    def __init__(self, version: pathlib.Path, problems: list[str]):
        self.problems = problems
        super().__init__(
            f"Expected {version} to load and answer as the Keras model did; do not serve it, "
            "export again. Received:\n" + "\n".join(f"  - {problem}" for problem in problems)
        )
