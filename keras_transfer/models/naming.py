"""Names of blocks as users give them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def check_names(names: Iterable[str], known: Sequence[str]) -> None:
    """Raises a ValueError for the first name that is not known, with those that come near it."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known) or list(known)
            raise ValueError(
                f"Expected names of blocks, for instance {near}; `kx.split_into_blocks` lists all. "
                f"Received: {name!r}."
            )
