"""Progress bars on stderr, so that what a command prints can be piped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(
    items: Iterable[Item], description: str, *, total: int | None = None, show: bool = True
) -> Iterator[Item]:
    """Yields the items under a progress bar that goes away when it is done.

    Args:
        items: what to go through.
        description: what is being done, in a few words.
        total: how many there are; by default the length of `items`, if it has one.
        show: whether to show the bar.
    """
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    return iter(
        progress.track(
            items,
            description,
            total=total,
            console=console,
            transient=True,
            disable=not (show and console.is_terminal),
        )
    )
