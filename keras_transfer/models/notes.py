"""What is noted on a model, as attributes: class names, and how pictures were resized."""

from __future__ import annotations

from collections.abc import Sequence

import keras


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


def note_resize(model: keras.Model, dataset: object) -> None:
    """Notes on the model how a dataset of this package resized its pictures, for `kx.export`.

    Raises:
        ValueError: if the model saw pictures that were resized in another way.
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


def takes_text(model: keras.Model) -> bool:
    """Whether the model takes what a preprocessor makes of texts."""
    return isinstance(model.input, dict) and "token_ids" in model.input


def copy_notes(model: keras.Model, copy: keras.Model) -> keras.Model:
    """Notes on a copy what is noted on the model, and returns the copy."""
    for name in {"class_names", "resize"} & vars(model).keys():
        setattr(copy, name, getattr(model, name))
    return copy
