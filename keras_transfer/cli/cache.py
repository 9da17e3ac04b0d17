"""`keras-transfer cache`: what the feature cache holds, and how to get rid of it."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from keras_transfer.caching.entries import CacheEntry
    from keras_transfer.caching.store import Store

# Of an entry's name so much is shown, more where several begin alike.
_SHOWN = 8
DIRECTORY_HELP = (
    "The folder of the cache. Default: keras_transfer/features beside what Keras downloads, "
    "~/.keras or $KERAS_HOME."
)
NAMES_HELP = "Entries, by the beginning of their names, as `cache list` shows them. Default: all."
Directory = Annotated[pathlib.Path | None, typer.Option(help=DIRECTORY_HELP)]

cache = typer.Typer(
    help="See and clear what training keeps on disk.\n\n"
    "`keras-transfer fit` runs the frozen part of a model once for each picture and keeps what it "
    "gives, so that further epochs and trainings with the same frozen part need not run it again. "
    "There is an entry for each frozen part. The cache is bounded (10 GB): what was not used for "
    "longest makes room. Clearing it costs nothing but the time to compute it again.",
    no_args_is_help=True,
)


@cache.command("list")
def list_entries(directory: Directory = None) -> None:
    """List the entries, that used last first: model, features, pictures, size, last use.

    Where the description of an entry is damaged, its model is shown as unknown; it is written
    anew when a training uses it, and can be cleared like others.

    Example: `keras-transfer cache list`

    Example: `keras-transfer cache list --directory /scratch/features`
    """
    store = _store(directory)
    entries = store.entries()
    if not entries:
        print(f"No features are cached{_where(store)}.")
        return
    Console().print(_table(entries, entries))
    print(f"{_in_all(entries)} in {store.directory}.")
    print("Rows: pictures, or augmented views of pictures.")


@cache.command("clear")
def clear(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=NAMES_HELP)] = None,
    directory: Directory = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove entries, or all of them. Other files in the folder stay.

    What another process is reading or computing stays, too; then the exit status is 1.

    Example: `keras-transfer cache clear 3f2a91c0`

    Example: `keras-transfer cache clear --yes`
    """
    store = _store(directory)
    entries = store.entries()
    chosen = _chosen(names, entries, store) if names else entries
    if not chosen:
        print(f"Nothing to clear: no features are cached{_where(store)}.")
        return
    if not yes:
        _confirm(chosen, entries, store)
    stay = [entry for entry in chosen if not store.remove(entry.name)]
    left = {entry.name: entry.num_bytes for entry in store.entries()}
    freed = sum(max(0, entry.num_bytes - left.get(entry.name, 0)) for entry in chosen)
    _tell(len(chosen) - len(stay), freed, [_short(entry, entries) for entry in stay])


def _store(directory: pathlib.Path | None) -> Store:
    # Not at the top: NumPy would load for every command. TensorFlow does not load at all.
    from keras_transfer.caching.store import Store, default_directory

    return Store(directory or default_directory(), max_bytes=0)  # nothing is stored here


def _chosen(names: Sequence[str], entries: Sequence[CacheEntry], store: Store) -> list[CacheEntry]:
    """The entries whose names begin like this, each once.

    Raises:
        ValueError: if a name is the beginning of none, or of several.
    """
    found = {}
    for name in names:
        # An empty one is a shell variable that was not set, rather than the only entry.
        matches = [entry for entry in entries if name and entry.name.startswith(name)]
        exact = [entry for entry in matches if entry.name == name]
        if len(exact or matches) != 1:
            listed = ", ".join(entry.name for entry in matches or entries) or "nothing"
            why = (
                f"with which {listed} begin" if matches else f"where {store.directory} has {listed}"
            )
            raise ValueError(
                "Expected names of cached entries, or beginnings that a single one has. "
                f"Received: {name!r}, {why}."
            )
        [entry] = exact or matches
        found[entry.name] = entry
    return list(found.values())


def _confirm(chosen: Sequence[CacheEntry], entries: Sequence[CacheEntry], store: Store) -> None:
    """Asks, and ends the command at a no.

    Raises:
        ValueError: if there is nobody to ask.
    """
    if not _can_ask():
        raise ValueError(
            "Expected --yes, as stdin is no terminal to ask at whether to remove "
            f"{_in_all(chosen)} in {store.directory}. Received: no --yes."
        )
    Console().print(_table(chosen, entries))
    typer.confirm(f"Remove {_in_all(chosen)} in {store.directory}?", abort=True)


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()  # None where it was closed


def _tell(removed: int, num_bytes: int, stay: Sequence[str]) -> None:
    from keras_transfer.caching.store import in_units

    print(f"Removed {_count(removed)} ({in_units(num_bytes)}).")
    if stay:
        print(f"In use by other processes, at least a part of them stays: {', '.join(stay)}.")
        raise typer.Exit(1)


def _table(shown: Sequence[CacheEntry], entries: Sequence[CacheEntry]) -> Table:
    from keras_transfer.caching.store import in_units

    table = Table()
    for column in ("Name", "Model"):
        table.add_column(column, no_wrap=True)
    table.add_column("Features")
    for column in ("Rows", "Size"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("Last used")
    for entry in shown:
        rows = "unknown" if entry.rows is None else f"{entry.rows:,}"
        features = "\n".join(entry.shapes) or "unknown"
        size, used = in_units(entry.num_bytes), f"{entry.last_used:%Y-%m-%d %H:%M}"
        told = (_short(entry, entries), entry.model.replace(", ", "\n"), features)
        table.add_row(*map(escape, told), rows, size, used)
    return table


def _short(entry: CacheEntry, entries: Sequence[CacheEntry]) -> str:
    """The beginning of its name that no other has."""
    name = entry.name
    others = [other.name for other in entries if other.name != name]
    lengths = range(min(_SHOWN, len(name)), len(name))
    alone = (n for n in lengths if not any(other.startswith(name[:n]) for other in others))
    return name[: next(alone, len(name))]


def _where(store: Store) -> str:
    there = store.directory.is_dir()
    return f" in {store.directory}" if there else f", as there is no folder {store.directory}"


def _in_all(entries: Sequence[CacheEntry]) -> str:
    from keras_transfer.caching.store import in_units

    return f"{_count(len(entries))} ({in_units(sum(entry.num_bytes for entry in entries))})"


def _count(number: int) -> str:
    return f"{number} {'entry' if number == 1 else 'entries'}"
