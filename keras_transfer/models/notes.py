"""What is noted on a model, as attributes: class names, and how its inputs were made."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_transfer.data.preprocessors import settings_of


def set_class_names(model: keras.Model, class_names: Sequence[str]) -> keras.Model:
    """Notes the class names on the model and returns it."""
    model.class_names = list(class_names)
    return model


def class_names_of(model: keras.Model, class_names: Sequence[str] | None = None) -> list[str]:
    """The class names as given, else as noted on the model.

    Raises:
        ValueError: if there are neither, or not as many as outputs.
    """
    names = list(class_names if class_names is not None else getattr(model, "class_names", ()))
    if len(names) != model.output_shape[-1]:
        raise ValueError(
            f"Expected {model.output_shape[-1]} class names, one for each output: pass "
            f"`class_names=[...]`; a loaded `.keras` file does not hold them. Received: {names}."
        )
    return names


def note_data(model: keras.Model, dataset: object) -> None:
    """Notes on the model how a dataset of this package made its pictures or texts, for `kx.export`.

    Raises:
        ValueError: if the model saw pictures or texts that were made in another way.
    """
    resize = getattr(dataset, "resize", None)
    noted = getattr(model, "resize", resize)
    if resize is not None and resize != noted:
        raise ValueError(
            f"Expected pictures resized by {noted!r}, as those before: make the dataset with "
            f"resize={noted!r}, or set `model.resize` if you mean it. Received: {resize!r}."
        )
    if resize is not None:
        model.resize = resize
    preprocessor = getattr(dataset, "preprocessor", None)
    if preprocessor is not None:
        _check_alike(preprocessor, preprocessor_of(model))
        note_preprocessor(model, preprocessor)


def note_preprocessor(model: keras.Model, preprocessor: keras.layers.Layer) -> None:
    """Notes the layer that texts go through before the model, and is no part of it."""
    object.__setattr__(model, "preprocessor", preprocessor)  # Keras would take it for a part


def preprocessor_of(model: keras.Model) -> keras.layers.Layer | None:
    """The layer that was noted, or None."""
    return vars(model).get("preprocessor")


def _check_alike(given: keras.layers.Layer, noted: keras.layers.Layer | None) -> None:
    if noted is None or given is noted or settings_of(given) == settings_of(noted):
        return
    one, other = given.get_config(), noted.get_config()
    told = sorted(key for key in one if key != "name" and one[key] != other.get(key))
    raise ValueError(
        "Expected texts that went through the same preprocessor as those before. Received: "
        f"{type(given).__name__} that differs in {told or 'what it has learnt'}."
    )


def takes_text(model: keras.Model) -> bool:
    """Whether the model takes what a preprocessor makes of texts."""
    return isinstance(model.input, dict) and "token_ids" in model.input


def copy_notes(model: keras.Model, copy: keras.Model) -> keras.Model:
    """Notes on a copy what is noted on the model, and returns the copy."""
    for name in {"class_names", "resize"} & vars(model).keys():
        setattr(copy, name, getattr(model, name))
    preprocessor = preprocessor_of(model)
    if preprocessor is not None:
        note_preprocessor(copy, preprocessor)
    return copy
