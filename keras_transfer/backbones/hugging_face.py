"""Checkpoints of Hugging Face as backbones, their weights through KerasHub's converters."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import pkgutil
from typing import Any

import keras

from keras_transfer.backbones import keras_hub, minilm
from keras_transfer.backbones.info import BackboneInfo

OPTIONS = ("dropout",)
_CONVERTERS = "keras_hub.src.utils.transformers"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def describe() -> list[BackboneInfo]:
    """The one that installs with pip; others are places."""
    return [BackboneInfo(minilm.HANDLE, 22_713_216, 512, 384, minilm.folder() is not None)]


def load(
    name: str,
    input_shape: tuple[int | None, ...] | None,
    weights: Any,
    *,
    dropout: float = 0.0,
) -> keras.Model:
    """Loads a checkpoint, a folder or a name on Hugging Face; see `kx.load_backbone`."""
    own = name == minilm.HANDLE
    folder = minilm.installed_folder() if own else pathlib.Path(name).expanduser()
    if not folder.is_dir():
        return _from_the_network(name, input_shape, weights, dropout)
    _check(folder, weights)
    try:
        backbone = keras_hub.from_preset(str(folder), input_shape, weights, dropout)
    except Exception as error:  # KerasHub lets through what safetensors, NumPy and JSON raise
        if isinstance(error, ModuleNotFoundError):
            raise
        raise ValueError(
            "Expected a checkpoint whose model.safetensors is whole and fits its config.json. "
            f"Received: {folder}, where KerasHub says: {_reason(error)}"
        ) from error
    return keras_hub.plain_model(backbone, str(folder), name)


def _check(folder: pathlib.Path, weights: Any) -> None:
    """What KerasHub would stumble over without saying it."""
    present = sorted(file.name for file in folder.iterdir())
    needed = "no weights" if weights is None else " or ".join(_WEIGHTS)
    if "config.json" not in present or (weights is not None and not set(_WEIGHTS) & {*present}):
        raise ValueError(
            f"Expected the folder of a checkpoint with config.json and {needed}; weights in other "
            "formats, such as PyTorch's pickles, are not read: save the model with "
            f"`safe_serialization=True`. Received: {folder}, which holds {present[:10]}."
        )
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "Expected a config.json that says its `model_type`. "
            f"Received: {folder / 'config.json'}, {type(error).__name__}: {error}"
        ) from error


def _reason(error: Exception) -> str:
    """What KerasHub says, and where it has no converter, what it has some for."""
    # Keras prints whole weights behind what is wrong with them.
    told = f"{type(error).__name__}: {str(error).partition(' Target variable')[0]}"
    if "no converter" not in told:
        return told
    package = importlib.util.find_spec(_CONVERTERS)
    places = package.submodule_search_locations if package else []
    names = sorted(module.name for module in pkgutil.iter_modules(places))
    known = [name.removeprefix("convert_") for name in names if name.startswith("convert_")]
    return f"{told} It has some for models of these families: {', '.join(known)}."


def _from_the_network(name: str, input_shape: Any, weights: Any, dropout: float) -> keras.Model:
    preset = f"hf://{name}"
    try:
        backbone = keras_hub.from_preset(preset, input_shape, weights, dropout)
    except Exception as error:  # of huggingface_hub, of httpx below it, of KerasHub
        if isinstance(error, ModuleNotFoundError):
            raise
        raise ConnectionError(
            "Expected the folder of a checkpoint, or its name on Hugging Face: where that cannot "
            "be reached, download its files elsewhere and pass the folder. "
            f"Received: {name}, no folder of this machine, and from Hugging Face: {error}"
        ) from error
    return keras_hub.plain_model(backbone, preset, name)
