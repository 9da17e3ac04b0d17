"""What stands for data on the command line, and a fingerprint of it."""

from __future__ import annotations

import hashlib
import pathlib
from typing import TYPE_CHECKING, Any, Literal

from keras_transfer.cli.text import REVIEWS, is_text

if TYPE_CHECKING:
    from keras_transfer.data.splits import Splits


def load_data(
    data: str,
    *,
    image_size: tuple[int, int],
    batch_size: int,
    validation_split: float,
    test_split: float,
    seed: int,
    resize: Any,
    on_error: Literal["raise", "skip"] = "raise",
) -> Splits:
    """The `Splits` of a folder, of the bundled sample or of a tensorflow_datasets name."""
    import keras_transfer as kx

    common: dict[str, Any] = {
        "image_size": image_size,
        "batch_size": batch_size,
        "validation_split": validation_split,
        "test_split": test_split,
        "seed": seed,
        "resize": resize,
    }
    scheme, _, name = data.rpartition("://")
    if scheme == "tfds":
        return kx.tfds(name, **common)
    return kx.image_folder(data_folder(data), on_error=on_error, **common)


def data_folder(data: str) -> pathlib.Path:
    """The folder that a data argument (not a tfds one) stands for."""
    import keras_transfer as kx

    scheme, _, name = data.rpartition("://")
    if scheme not in ("", "emoji_styles"):
        raise ValueError(
            f"Expected a folder, emoji_styles://STYLE or tfds://NAME. Received: {data}."
        )
    return kx.emoji_styles_folder(name) if scheme else pathlib.Path(data)


def fingerprint(data: str) -> str:
    """Changes when a picture is added, removed or has another size, or a table changes.

    Of what ships, or comes by a tfds name, it is the name.
    """
    from keras_transfer.data.images import picture_files

    if data.startswith(("tfds://", REVIEWS)):
        return data
    if is_text(data):
        return hashlib.sha256(pathlib.Path(data).read_bytes()).hexdigest()[:16]
    folder = data_folder(data)
    files = picture_files(folder)
    listing = "\n".join(f"{path.relative_to(folder)}\t{path.stat().st_size}" for path in files)
    return hashlib.sha256(listing.encode()).hexdigest()[:16]
