"""From a trained Keras model to a version that TF Serving loads."""

from __future__ import annotations

import json
import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer._atomic import staging_folder, write_text
from keras_transfer._version import __version__
from keras_transfer.data.resizing import Resize, check_resize
from keras_transfer.models.dtype_policy import dtype_policy
from keras_transfer.models.notes import class_names_of, preprocessor_of, takes_text
from keras_transfer.models.single_precision import in_float32
from keras_transfer.models.tasks import REGRESSION, task_of
from keras_transfer.serving.signatures.endpoints import (
    Endpoint,
    picture_endpoints,
    text_endpoints,
)
from keras_transfer.serving.verification.verify import verify_unpublished
from keras_transfer.serving.versions.manifest import write_manifest
from keras_transfer.serving.versions.publish import publish_next_version
from keras_transfer.serving.versions.warmup import Sample, save_samples

# TF Serving leaves `assets.extra` alone but for the files whose names it knows.
METADATA = pathlib.Path("assets.extra", "keras_transfer_metadata.json")


def export(
    model: keras.Model,
    base_path: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    resize: Resize | None = None,
    preprocessor: keras.layers.Layer | None = None,
    samples: Sequence[str | os.PathLike[str]] = (),
    metadata: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
    keep: int | None = None,
) -> pathlib.Path:
    """Exports a model for TF Serving, checks it, and only then lets it be seen.

    The version of a picture model takes encoded pictures, decodes and resizes them exactly as
    `kx.image_folder` did, and gives labels. Its signatures:

    - `serving_default`: `image_bytes` string `(n,)` (JPEG, PNG, BMP or GIF) to `probabilities`
      float32 `(n, classes)`, `label` string `(n,)` and `score` float32 `(n,)`. A regressor gives
      `values` float32 `(n, outputs)` instead.
    - `pixels`: `pixels` float32 `(n, height, width, 3)` from 0 to 255, to the same.
    - `top_k`: `image_bytes` to `labels` string and `scores` float32 `(n, k)` of the five best
      classes, or of all, the best first; not of a regressor.
    - `features`: `image_bytes` to `features` float32 `(n, width)`, what the last layer takes, as
      an embedding; of models whose last layer is dense.

    That of a text model takes `text`, string `(n,)`, UTF-8, instead of `image_bytes`, and has the
    signature `tokens`, what the preprocessor gives, instead of `pixels`. All outputs have `valid`
    bool `(n,)` beside them. What cannot be read (an empty string, something else than a picture,
    a file cut short, a header that claims more than 64 megapixels, NaN among pixels, a text of
    white space, an id outside of the vocabulary) is not valid: it has zeros and empty strings for
    answers, and the other rows of the batch have theirs.

    Models in mixed precision or on several replicas are copied to float32 on one device first.
    The version is written to a hidden folder, checked as by `kx.verify`, and renamed to the next
    integer, so a server that watches `base_path` never sees a broken or half-written version. It
    brings warm-up requests, which TF Serving answers before it serves the version, and a manifest
    with the SHA-256 of every file.

    Args:
        model: keras.Model made by `kx.Classifier` or `kx.Regressor`, loaded ones included.
        base_path: the model's folder; made if it is not there.
        class_names: list of str. Defaults to those noted on the model.
        resize: "stretch", "crop" or "pad". Defaults to what `kx.fine_tune` or `kx.evaluate`
            noted on the model, else, with a warning, to "stretch". (They cannot know it of a
            dataset that was mapped or loaded otherwise: pass `data.resize` then.)
        preprocessor: keras.layers.Layer from texts to what the model takes, such as
            `kx.load_preprocessor(handle)`. Defaults to that noted on the model.
        samples: files of a picture or a text each that are stored in the version, with the
            answers that Keras gives, for `kx.verify`. Made-up ones are stored in any case.
        metadata: dict that JSON can hold, kept in the version as
            `assets.extra/keras_transfer_metadata.json`; None for none.
        evaluation: dict that JSON can hold, kept in the manifest: what was measured of this very
            model, such as `kx.evaluate(...).to_dict()`.
        keep: int from 1, how many of the newest versions stay below `base_path`, besides those
            that `models.config` names; None for all.

    Returns:
        The path of the new version, `base_path/N`.

    Raises:
        ValueError: if class names or preprocessor are unknown, the model takes pictures of any
            size, or it is called inside `strategy.scope()`.
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
    if keep is not None and keep < 1:
        raise ValueError(f"Expected `keep` of at least 1, or None for all. Received: keep={keep}.")
    names = [] if task_of(model) is REGRESSION else class_names_of(model, class_names)
    files = [pathlib.Path(file) for file in samples]
    model = in_float32(model)
    tracked: list[keras.layers.Layer] = [model]
    with staging_folder(pathlib.Path(base_path)) as staging, dtype_policy("float32"):
        if takes_text(model):
            tracked.append(_preprocessor(model, preprocessor))
            endpoints = text_endpoints(model, names, tracked[1], files)
        else:
            size = _size(model)
            endpoints = picture_endpoints(model, names, size, _resize(model, resize), files)
        _write(tracked, endpoints, staging)
        save_samples(staging, _samples(endpoints))
        if metadata is not None:
            write_text(staging / METADATA, json.dumps(metadata, indent=1) + "\n")
        told = {
            "versions": {
                "keras_transfer": __version__,
                "keras": keras.__version__,
                "tensorflow": tf.__version__,
            },
            "class_names": names,
            "evaluation": evaluation,
            "verification": list(verify_unpublished(staging)),
        }
        write_manifest(staging, told)
        return publish_next_version(staging, pathlib.Path(base_path), keep)


def _samples(endpoints: Mapping[str, Endpoint]) -> list[Sample]:
    """For each signature a batch, and its first row alone."""
    found = []
    with tf.device("CPU:0"):  # where verify compares; a GPU rounds differently
        for name, endpoint in endpoints.items():
            expected = endpoint.expected()
            found.append(Sample(name, endpoint.samples, expected))
            first = [{k: v[:1] for k, v in x.items()} for x in (endpoint.samples, expected)]
            found.append(Sample(name, *first))
    return found


def _preprocessor(model: keras.Model, given: keras.layers.Layer | None) -> keras.layers.Layer:
    preprocessor = preprocessor_of(model) if given is None else given
    if preprocessor is None:
        raise ValueError(
            "Expected `preprocessor`, which made tokens of the texts that the model was trained "
            "on, such as kx.load_preprocessor(handle); kx.fine_tune and kx.evaluate note that of "
            f"datasets of this package. Received: preprocessor=None for model {model.name!r}."
        )
    return preprocessor


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
    tracked: Sequence[keras.layers.Layer], endpoints: Mapping[str, Endpoint], folder: pathlib.Path
) -> None:
    archive = keras.export.ExportArchive()
    for layer in tracked:
        archive.track(layer)
    _unwrap_variables(archive)
    for name, endpoint in endpoints.items():
        archive.add_endpoint(name, endpoint.function, input_signature=list(endpoint.specs))
    archive.write_out(str(folder), verbose=False)


def _unwrap_variables(archive: keras.export.ExportArchive) -> None:
    """Tracks TensorFlow's variables in the place of Keras's around them.

    Else each weight is written twice, as endpoints hold the one and layers the other, and a server
    has both in memory: https://github.com/keras-team/keras/issues/23553
    """
    for name in ("variables", "trainable_variables", "non_trainable_variables"):
        tracked = getattr(archive, name)
        setattr(archive._tf_trackable, name, [getattr(v, "value", v) for v in tracked])
