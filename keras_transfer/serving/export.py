"""From a trained Keras model to a version that TF Serving loads."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_transfer._atomic import staging_folder
from keras_transfer.data.decoding import decode_picture
from keras_transfer.data.resizing import Resize, check_resize, resize_picture
from keras_transfer.models.notes import class_names_of
from keras_transfer.models.tasks import REGRESSION, task_of
from keras_transfer.serving.publish import publish_next_version
from keras_transfer.serving.samples import (
    Samples,
    Tensors,
    as_strings,
    made_up_pictures,
    save_samples,
)
from keras_transfer.serving.signatures import Outputs, bytes_signature, pixels_signature
from keras_transfer.serving.verify import verify

DEFAULT_SIGNATURE, PIXELS_SIGNATURE = "serving_default", "pixels"


def export(
    model: keras.Model,
    base_path: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    resize: Resize | None = None,
    samples: Sequence[str | os.PathLike[str]] = (),
) -> pathlib.Path:
    """Exports a model for TF Serving, checks it, and only then lets it be seen.

    The version takes encoded pictures, decodes and resizes them exactly as `kx.image_folder`
    did, and gives labels. Signature `serving_default`: `image_bytes` string `(n,)` (JPEG, PNG,
    BMP or GIF) to `probabilities` float32 `(n, classes)`, `label` string `(n,)` and `score`
    float32 `(n,)`. Signature `pixels`: `pixels` float32 `(n, height, width, 3)` from 0 to 255 to
    the same. For a regressor both give `values` float32 `(n, outputs)`.

    It is written to a hidden folder, run through `kx.verify`, and renamed to the next integer,
    so a server that watches `base_path` never sees a broken or half-written version.

    Args:
        model: keras.Model made by `kx.Classifier` or `kx.Regressor`, loaded ones included.
        base_path: the model's folder; made if it is not there.
        class_names: list of str. Defaults to those noted on the model.
        resize: "stretch", "crop" or "pad". Defaults to what `kx.fine_tune` or `kx.evaluate`
            noted on the model, else, with a warning, to "stretch". (They cannot know it of a
            dataset that was mapped or loaded otherwise: pass `data.resize` then.)
        samples: picture files that are stored in the version, with the answers that Keras gives,
            for `kx.verify`. Made-up pictures are stored in any case.

    Returns:
        The path of the new version, `base_path/N`.

    Raises:
        ValueError: if the class names are unknown, or the model takes pictures of any size.
        VerificationError: if the exported version does not do what the model does.
        OSError: if the folder cannot be written.

    Example:

    >>> import tempfile
    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3))
    >>> model = kx.Classifier(backbone, ["cat", "dog"])
    >>> kx.export(model, tempfile.mkdtemp(), resize="stretch").name
    '1'
    """
    size = _size(model)
    way = _resize(model, resize)
    names = [] if task_of(model) is REGRESSION else class_names_of(model, class_names)
    predict = pixels_signature(model, names)
    predict_bytes = bytes_signature(predict, size, way)
    pictures = made_up_pictures(size) + [pathlib.Path(file).read_bytes() for file in samples]
    with staging_folder(pathlib.Path(base_path)) as staging:
        _write(model, predict, predict_bytes, size, staging)
        with tf.device("CPU:0"):  # where verify compares; a GPU rounds differently
            save_samples(staging, _answers(predict, pictures, size, way))
        verify(staging)
        return publish_next_version(staging, pathlib.Path(base_path))


def _resize(model: keras.Model, resize: Resize | None) -> Resize:
    if resize is None and not hasattr(model, "resize"):
        warnings.warn(
            "Expected to know how pictures were resized for training: pass `resize=data.resize`. "
            "Taking 'stretch', the default of kx.image_folder.",
            stacklevel=3,
        )
    way: Resize = getattr(model, "resize", "stretch") if resize is None else resize
    check_resize(way)
    return way


def _size(model: keras.Model) -> tuple[int, int]:
    height, width = model.input_shape[1:3]
    if height is None or width is None:
        raise ValueError(
            "Expected a model with a fixed picture size: give load_backbone an `input_shape`. "
            f"Received: a model that takes {model.input_shape}."
        )
    return height, width


def _write(
    model: keras.Model,
    predict: Callable[[tf.Tensor], Outputs],
    predict_bytes: Callable[[tf.Tensor], Outputs],
    size: tuple[int, int],
    folder: pathlib.Path,
) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    bytes_spec = tf.TensorSpec([None], tf.string, name="image_bytes")
    pixels_spec = tf.TensorSpec([None, *size, 3], tf.float32, name="pixels")
    archive.add_endpoint(DEFAULT_SIGNATURE, predict_bytes, input_signature=[bytes_spec])
    archive.add_endpoint(PIXELS_SIGNATURE, predict, input_signature=[pixels_spec])
    archive.write_out(str(folder), verbose=False)


def _answers(
    predict: Callable[[tf.Tensor], Outputs],
    pictures: Sequence[bytes],
    size: tuple[int, int],
    resize: Resize,
) -> Samples:
    """What Keras itself gives for the sample pictures; both signatures have to agree with it."""
    pixels = tf.stack([resize_picture(decode_picture(data), size, resize) for data in pictures])
    answers = {name: _array(value) for name, value in predict(pixels).items()}
    inputs: dict[str, Tensors] = {
        DEFAULT_SIGNATURE: {"image_bytes": as_strings(pictures)},
        PIXELS_SIGNATURE: {"pixels": pixels.numpy()},
    }
    return {signature: (tensors, answers) for signature, tensors in inputs.items()}


def _array(value: tf.Tensor) -> np.ndarray:
    return as_strings(list(value.numpy())) if value.dtype == tf.string else value.numpy()
