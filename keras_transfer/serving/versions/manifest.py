"""What a version consists of, to the byte, and why it may be served."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

FILE = pathlib.Path("assets.extra", "keras_transfer_manifest.json")
_DIGEST = "sha256_of_all_above"


def write_manifest(version: pathlib.Path, told: Mapping[str, Any]) -> None:
    """Writes down all files with their SHA-256, and what else is told.

    Args:
        version: the finished folder of a version; nothing in it may be changed afterwards.
        told: what JSON can hold.
    """
    files = {
        str(path): {"bytes": (version / path).stat().st_size, "sha256": _sha256(version / path)}
        for path in _files(version)
    }
    (version / FILE).parent.mkdir(exist_ok=True)
    (version / FILE).write_bytes(_rendered({**told, "files": files}))


def read_manifest(version: pathlib.Path) -> dict[str, Any]:
    """What was written.

    Raises:
        FileNotFoundError: if there is no manifest.
        ValueError: if it was changed.
    """
    if not (version / FILE).is_file():
        raise FileNotFoundError(
            f"Expected a version made by kx.export. Received: {version}, which has no {FILE}."
        )
    data = (version / FILE).read_bytes()
    try:
        told: dict[str, Any] = json.loads(data)
        del told[_DIGEST]
        whole = _rendered(told) == data
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(f"The manifest {version / FILE} was changed or cut short.")
    return told


def manifest_problems(version: pathlib.Path) -> list[str]:
    """One sentence for each file that is gone, changed or new since the manifest was written."""
    try:
        files = read_manifest(version)["files"]
    except (FileNotFoundError, ValueError) as error:
        return [str(error)]
    there = {str(path) for path in _files(version)}
    problems = [f"There is no {name}." for name in sorted(files.keys() - there)]
    problems += [f"{name} is not in the manifest." for name in sorted(there - files.keys())]
    for name in sorted(files.keys() & there):
        size = (version / name).stat().st_size
        if size != files[name]["bytes"]:
            problems.append(f"{name} has {size:,} bytes, not {files[name]['bytes']:,}.")
        elif _sha256(version / name) != files[name]["sha256"]:
            problems.append(f"{name} has been changed.")
    return problems


def _files(version: pathlib.Path) -> Iterator[pathlib.Path]:
    for path in sorted(version.rglob("*")):
        if not path.is_dir() and path.relative_to(version) != FILE:
            yield path.relative_to(version)


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _rendered(told: Mapping[str, Any]) -> bytes:
    digest = hashlib.sha256(json.dumps(told, indent=1).encode()).hexdigest()
    return (json.dumps({**told, _DIGEST: digest}, indent=1) + "\n").encode()
