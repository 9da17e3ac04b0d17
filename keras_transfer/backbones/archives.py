"""Unpacks archives, and nothing outside the folder that they are unpacked into."""

from __future__ import annotations

import pathlib
import tarfile
import zipfile

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def is_archive(path: pathlib.Path) -> bool:
    """Whether the name is that of an archive."""
    return path.name.lower().endswith((*_TAR, ".zip"))


def unpack(archive: pathlib.Path, target: pathlib.Path) -> None:
    """Writes the files of an archive into a folder.

    Raises:
        ValueError: if it is damaged, or holds links or names that lead out of the folder.
    """
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as file:
                _check([info.filename for info in file.infolist()], archive)
                file.extractall(target)
        else:
            with tarfile.open(archive) as file:
                members = file.getmembers()
                _check([m.name for m in members], archive)
                _check_kinds(members, archive)
                if hasattr(tarfile, "data_filter"):  # from Python 3.10.12 and 3.11.4 on
                    file.extraction_filter = tarfile.data_filter
                file.extractall(target, members=members)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(
            f"Expected a whole archive. Received: {archive}, which cannot be unpacked: {error}"
        ) from error


def _check(names: list[str], archive: pathlib.Path) -> None:
    for name in names:
        path = pathlib.PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise ValueError(
                "Expected an archive whose files stay in the folder that it is unpacked into. "
                f"Received: {archive} with {name!r}."
            )


def _check_kinds(members: list[tarfile.TarInfo], archive: pathlib.Path) -> None:
    for member in members:
        if not (member.isfile() or member.isdir()):
            raise ValueError(
                "Expected an archive of plain files and folders. "
                f"Received: {archive} with {member.name!r}, which is a link or a device."
            )
