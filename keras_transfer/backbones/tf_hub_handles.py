"""Where a TF Hub module lies on this machine."""

from __future__ import annotations

import os
import pathlib
import tempfile

from keras_transfer.backbones.archives import is_archive, unpack
from keras_transfer.backbones.module_folder import ModuleFolder


def resolve(handle: str | os.PathLike[str]) -> ModuleFolder:
    """The folder of a module; what `tensorflow_hub` has downloaded once is taken from its cache.

    Args:
        handle: a folder, a local archive, or a URL.

    Raises:
        FileNotFoundError: if there is no such folder or archive.
        ConnectionError: if a URL cannot be resolved.
        ModuleNotFoundError: if `tensorflow_hub`, which resolves URLs, is not installed.
        ValueError: if it holds no SavedModel.
    """
    told = os.fspath(handle)
    if "://" in told:
        return ModuleFolder(pathlib.Path(_download(told)))
    path = pathlib.Path(told).expanduser()
    if path.is_dir():
        return ModuleFolder(path)
    if path.is_file() and is_archive(path):
        target = pathlib.Path(tempfile.mkdtemp(prefix="keras_transfer-"))
        unpack(path, target)
        inside = [file.parent for file in target.rglob("saved_model.pb")]
        return ModuleFolder(min(inside, default=target), temporary=target)
    raise FileNotFoundError(
        "Expected a TF Hub module: a folder with saved_model.pb, an archive of one (.tar, "
        f".tar.gz, .tgz, .zip) or a URL. Received: {told}, "
        f"{'a file of another kind' if path.exists() else 'where nothing lies'}."
    )


def _download(url: str) -> str:
    try:
        import tensorflow_hub
    except ImportError as error:
        raise ModuleNotFoundError(
            "Expected tensorflow_hub to resolve the URL of a module: pip install "
            f"'keras-transfer[hub]', or pass a local folder. Received: {url} ({error})."
        ) from error
    try:
        return tensorflow_hub.resolve(url)
    except Exception as error:  # of whichever of its resolvers takes the URL
        raise ConnectionError(
            "Expected a module that can be downloaded, or was before: download it by hand and "
            f"pass the local folder or archive. Received: {url}, where tensorflow_hub says: {error}"
        ) from error
