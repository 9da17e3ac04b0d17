"""The folder of a SavedModel, told apart by its content."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import tempfile
import weakref


class ModuleFolder:
    """The folder of a SavedModel, told apart by its graph and assets.

    Args:
        path: of the folder.
        temporary: a folder that goes when nothing holds this object any more.

    Attributes:
        path: as given.
        digest: str. The same for the same graph and assets; weights do not count.

    Raises:
        ValueError: if it holds no SavedModel.
    """

    def __init__(self, path: pathlib.Path, *, temporary: pathlib.Path | None = None):
        if not _has_graph(path):
            inside = sorted(file.name for file in path.iterdir())[:10] if path.is_dir() else "none"
            raise ValueError(
                "Expected the folder of a SavedModel, with a file saved_model.pb. "
                f"Received: {path}, which holds {inside}."
            )
        self.path = path
        self.digest = _digest(path)
        if temporary:
            weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
        _AT_HAND[self.digest] = self

    @property
    def has_values(self) -> bool:
        """Whether it holds values of the variables, too."""
        return (self.path / "variables").is_dir()

    def copy_to(self, target: pathlib.Path) -> None:
        """Copies graph and assets; variables stay behind."""
        shutil.copytree(
            self.path, target, ignore=shutil.ignore_patterns("variables"), dirs_exist_ok=True
        )


# By digest: what layers of this process hold, from wherever it came.
_AT_HAND: weakref.WeakValueDictionary[str, ModuleFolder] = weakref.WeakValueDictionary()


def at_hand(digest: str, path: str) -> ModuleFolder | None:
    """A folder of that content that is here without a download, or None."""
    known = _AT_HAND.get(digest)
    for place in (known.path if known else None, pathlib.Path(path)):
        if place is not None and _has_graph(place) and _digest(place) == digest:
            return known if known and place == known.path else ModuleFolder(place)
    return None


def kept_copy(folder: pathlib.Path) -> ModuleFolder:
    """A copy that lives as long as it is held: files of vocabularies are read again on export."""
    target = pathlib.Path(tempfile.mkdtemp(prefix="keras_transfer-"))
    shutil.copytree(folder, target, dirs_exist_ok=True)
    return ModuleFolder(target, temporary=target)


def _has_graph(path: pathlib.Path) -> bool:
    return (path / "saved_model.pb").is_file()


def _digest(path: pathlib.Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    files = [path / "saved_model.pb", *sorted(file for file in (path / "assets").rglob("*"))]
    for file in files:
        if file.is_file():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
            digest.update(hashlib.blake2b(file.read_bytes(), digest_size=16).digest())
    return digest.hexdigest()
