"""The pictures that ship with the package: the same emoji in three drawing styles."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import tempfile
import zipfile

from keras_transfer._keras_home import keras_home
from keras_transfer.data.images import image_folder
from keras_transfer.data.resizing import Resize
from keras_transfer.data.splits import Splits

ARCHIVE = pathlib.Path(__file__).parent / "samples" / "emoji_styles.zip"
STYLES = ("noto", "twemoji", "openmoji")


def emoji_styles(
    style: str,
    *,
    image_size: tuple[int, int] = (128, 128),
    batch_size: int = 32,
    validation_split: float = 0.2,
    seed: int = 0,
    resize: Resize = "stretch",
) -> Splits:
    """The bundled emoji pictures in one drawing style: 8 classes, 799 to train on, 837 to test.

    Use it to try things offline, and as source and target of domain adaptation: the classes and
    the emoji of each half are the same in every style. The pictures are 64 x 64 pixels.

    Args:
        style: "noto" (shaded), "twemoji" (flat) or "openmoji" (black line art).
        image_size: see `kx.image_folder`, as the other arguments.
        batch_size: see there.
        validation_split: see there; it is taken from the train half.
        seed: see there.
        resize: see there.

    Returns:
        `kx.Splits`.

    Raises:
        ValueError: if there is no such style.

    Example:

    >>> import keras_transfer as kx
    >>> data = kx.emoji_styles("openmoji", image_size=(64, 64), batch_size=8)
    >>> pictures, labels = next(iter(data.test))
    >>> pictures.shape, data.class_names[labels[0]]
    (TensorShape([8, 64, 64, 3]), 'activities')
    """
    return image_folder(
        emoji_styles_folder(style),
        image_size=image_size,
        batch_size=batch_size,
        validation_split=validation_split,
        seed=seed,
        resize=resize,
    )


def emoji_styles_folder(style: str) -> pathlib.Path:
    """The bundled emoji pictures as files, unpacked on first use beside what Keras downloads.

    Args:
        style: "noto" (shaded), "twemoji" (flat) or "openmoji" (black line art).

    Returns:
        A folder `{train,test}/CLASS/CODEPOINT.png`.

    Raises:
        ValueError: if there is no such style.

    Example:

    >>> import keras_transfer as kx
    >>> len(list(kx.emoji_styles_folder("noto").glob("test/*/*.png")))
    837
    """
    if style not in STYLES:
        raise ValueError(f"Expected `style` to be one of {STYLES}. Received: style={style!r}.")
    # Named by content, so that pictures of another version of the package are never mixed in.
    digest = hashlib.sha256(ARCHIVE.read_bytes()).hexdigest()[:12]
    folder = keras_home() / "keras_transfer" / f"emoji_styles-{digest}"
    if not folder.is_dir():
        _unpack(folder)
    return folder / "emoji_styles" / style


def _unpack(folder: pathlib.Path) -> None:
    """Renamed into place when complete: a kill leaves no half of it, two processes do no harm."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent)
    try:
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(staging)
        os.rename(staging, folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
