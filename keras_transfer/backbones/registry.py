"""From a handle to a backbone: the only place that knows which module serves which scheme."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Collection
from typing import Any

import keras

from keras_transfer.backbones.info import BackboneInfo

# scheme -> module with `load(name, input_shape, weights, ...)` and `describe()`; "" is what ships.
# Arguments of `load_backbone` that not all know are named in a module's OPTIONS.
# Modules are named, not imported, so that a heavy library loads on first use.
_LOADERS = {
    "": "keras_transfer.backbones.efficientnet_lite",
    "applications": "keras_transfer.backbones.applications",
    "hf": "keras_transfer.backbones.hugging_face",
    "keras_hub": "keras_transfer.backbones.keras_hub",
    "tfhub": "keras_transfer.backbones.tf_hub",
    "word_vectors": "keras_transfer.backbones.word_vectors",
}
# Behind these schemes stands a place, not a name of the list.
_PLACES = ("hf", "keras_hub", "tfhub", "word_vectors")


def load_backbone(
    handle: str,
    *,
    input_shape: tuple[int | None, ...] | None = None,
    weights: str | os.PathLike[str] | None = "pretrained",
    dropout: float | None = None,
    output_key: str | None = None,
    value_range: tuple[float, float] | None = None,
    vocabulary: int | Collection[str] | None = None,
) -> keras.Model:
    """Loads a backbone as a plain Keras model, from pixels or tokens to features.

    The preprocessing that the weights were trained with is part of a model for pictures, so it
    always takes RGB pixels from 0 to 255, `uint8` or float. A model for text takes what
    `kx.load_preprocessor(handle)` makes of strings. BatchNorm layers follow the usual Keras rules;
    strategies such as `kx.FeatureExtraction` freeze them on purpose.

    Args:
        handle: str. One of `kx.list_backbones()`, where case does not matter, such as
            "efficientnet_lite0", whose weights ship with the package, "minilm_l6", or
            "applications://ResNet50". Or a place:
            "tfhub://PLACE", a TF Hub module, see `kx.HubLayer`: a folder, an archive or a URL;
            "keras_hub://PRESET", a name of KerasHub or a folder;
            "hf://PLACE", a checkpoint of Hugging Face, a folder or a name, through KerasHub's
            converters (BERT, DistilBERT, RoBERTa, ALBERT, GPT-2, ViT and others);
            "word_vectors://FILE", word2vec (text or binary) or GloVe.
        input_shape: tuple `(height, width, 3)` in pixels. Defaults to the size that the weights
            were trained at. Height and width may be `None` for pictures of any size.
        weights: `"pretrained"`, `None` for random ones, or the path of a weights file
            (`.weights.h5`, `.h5`; `.npz` for EfficientNet-Lite0).
        dropout: float from 0 to 1, for "keras_hub" and "hf". Share that layers of the backbone
            drop while training. Defaults to 0, so that a frozen part is run once.
        output_key: str, for "tfhub". Which of several outputs of a module is taken.
        value_range: tuple, for "tfhub" and "keras_hub". The least and the greatest value of pixels
            as the network takes them. Defaults to (0, 1) for TF Hub, as its modules have it, and
            to what a preset says.
        vocabulary: for "word_vectors". Which words are taken, or how many from the beginning of
            the file. Defaults to 100,000.

    Returns:
        A functional `keras.Model`: `(batch, height, width, 3)` float32 pixels to
        `(batch, height / 32, width / 32, channels)` features (the stride is the network's own);
        or a dict of int32 `(batch, length)`, "token_ids" and "padding_mask" among them, to
        `(batch, length, width)`. A TF Hub module may give vectors, or take strings.

    Raises:
        ValueError: if the handle is unknown (the nearest ones are named), the input shape is not
            `(height, width, 3)`, the weights do not fit, or an argument is not for such a handle.
        FileNotFoundError: if `weights`, a module or a file is a path where nothing lies.
        ConnectionError: if pretrained weights are not on this machine and cannot be downloaded.
        ModuleNotFoundError: if the package that loads such weights is not installed.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(64, 64, 3))
    >>> backbone.output_shape
    (None, 2, 2, 1280)
    """
    scheme, name = _resolve(handle)
    _check_input_shape(input_shape)
    if weights not in (None, "pretrained") and not os.path.isfile(weights):
        raise FileNotFoundError(
            "Expected `weights` to be 'pretrained', None or the path of a weights file. "
            f"Received: weights={weights!r}, where no file lies."
        )
    loader = _module(scheme)
    given = {
        key: value
        for key, value in (
            ("dropout", dropout),
            ("output_key", output_key),
            ("value_range", value_range),
            ("vocabulary", vocabulary),
        )
        if value is not None
    }
    if not given.keys() <= set(getattr(loader, "OPTIONS", ())):
        raise ValueError(f"Expected no such arguments for {handle!r}. Received: {given}.")
    return loader.load(name, input_shape, weights, **given)


def list_backbones() -> list[BackboneInfo]:
    """Lists the backbones that `kx.load_backbone` builds by name.

    Nothing is built or downloaded; the figures come from tables that the tests hold true.

    Returns:
        A list of `BackboneInfo`, with `handle`, `parameters`, `input_size`, `feature_width` and
        `on_this_machine`, the bundled backbone first.

    Example:

    >>> import keras_transfer as kx
    >>> kx.list_backbones()[0].handle
    'efficientnet_lite0'
    """
    return [info for scheme in _LOADERS for info in _module(scheme).describe()]


def _module(scheme: str) -> Any:
    return importlib.import_module(_LOADERS[scheme])


def _resolve(handle: str) -> tuple[str, str]:
    scheme, _, place = handle.strip().partition("://")
    if scheme.lower() in _PLACES:
        return scheme.lower(), place
    schemes = {info.handle: key for key in _LOADERS for info in _module(key).describe()}
    known = {found.lower(): found for found in schemes}
    if handle.strip().lower() not in known:
        raise ValueError(
            f"Expected a known backbone handle. {_suggestion(handle.lower(), known)} "
            f"`kx.list_backbones()` lists all of them; behind {'://, '.join(_PLACES)}:// stands a "
            f"place. Received: handle={handle!r}."
        )
    found = known[handle.strip().lower()]
    return schemes[found], found.rpartition("://")[2]


def _suggestion(handle: str, known: dict[str, str]) -> str:
    """Compares without the scheme too, so that "resnet50" finds "applications://ResNet50"."""
    names = {key.rpartition("://")[2]: full for key, full in known.items()}
    near = difflib.get_close_matches(handle.rpartition("://")[2], names, n=3, cutoff=0.5)
    return f"The nearest are {', '.join(names[n] for n in near)}." if near else "None is near."


def _check_input_shape(input_shape: tuple[int | None, ...] | None) -> None:
    if input_shape is None:
        return
    sizes = tuple(input_shape)[:2]
    good = len(input_shape) == 3 and input_shape[2] == 3
    if not good or any(size is not None and size < 32 for size in sizes):
        raise ValueError(
            "Expected `input_shape` to be (height, width, 3) with height and width of at least "
            f"32 pixels or None. Received: input_shape={input_shape}."
        )
