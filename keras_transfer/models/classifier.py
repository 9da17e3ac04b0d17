"""A backbone with a head: the models that users train."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_transfer.models.heads import Pooling, dense_head, pool
from keras_transfer.models.tasks import ONE_CLASS, REGRESSION, SEVERAL_CLASSES


def Classifier(  # noqa: N802  reads as the model it makes
    backbone: keras.Model,
    class_names: Sequence[str] | int,
    *,
    pooling: Pooling = "avg",
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    multi_label: bool = False,
) -> keras.Model:
    """Puts a classification head on a backbone.

    The result is a functional Keras model of Keras's own layers: it is saved as `.keras` and
    loaded in any program, also one without this package. Its `class_names` attribute serves
    `kx.evaluate` and `kx.export`; a `.keras` file does not hold it, a run folder does.

    Args:
        backbone: keras.Model. From pixels to `(batch, height, width, channels)` or
            `(batch, channels)`. It is used as it is, so training the classifier trains it.
        class_names: list of str, or int for as many classes named "0", "1", ...
        pooling: "avg", "max", or "avgmax" for both side by side.
        hidden: widths of dense ReLU layers between the features and the outputs.
        dropout: float from 0 to 1. Share of inputs dropped before each dense layer.
        multi_label: bool. Whether several classes may hold at once (labels `(batch, classes)` of
            0 and 1, sigmoid) or just one (int labels, softmax).

    Returns:
        A `keras.Model` from pixels to logits, float32 `(batch, classes)` under any dtype policy.

    Raises:
        ValueError: if there are less than two classes, names repeat, or the head's settings are
            out of range.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> model = kx.Classifier(backbone, ["cat", "dog"], dropout=0.3)
    >>> model.output_shape, model.class_names
    ((None, 2), ['cat', 'dog'])
    """
    names = _names(class_names)
    task = SEVERAL_CLASSES if multi_label else ONE_CLASS
    pixels = _pixels(backbone)
    logits = dense_head(
        pool(backbone(pixels), pooling),
        len(names),
        hidden=hidden,
        dropout=dropout,
        output_name=task.output_name,
    )
    model = keras.Model(pixels, logits, name=f"{backbone.name}_classifier")
    return set_class_names(model, names)


def Regressor(  # noqa: N802
    backbone: keras.Model,
    outputs: int = 1,
    *,
    pooling: Pooling = "avg",
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
) -> keras.Model:
    """Puts a regression head on a backbone.

    Args:
        backbone: keras.Model, as for `kx.Classifier`.
        outputs: int, at least 1. How many numbers are predicted for each picture.
        pooling: as for `kx.Classifier`, like the arguments that follow.
        hidden: see there.
        dropout: see there.

    Returns:
        A `keras.Model` from pixels to values, float32 `(batch, outputs)` under any dtype policy.

    Raises:
        ValueError: if the head's settings are out of range.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> kx.Regressor(backbone, hidden=[16]).output_shape
    (None, 1)
    """
    if outputs < 1:
        raise ValueError(f"Expected `outputs` to be at least 1. Received: outputs={outputs}.")
    pixels = _pixels(backbone)
    values = dense_head(
        pool(backbone(pixels), pooling),
        outputs,
        hidden=hidden,
        dropout=dropout,
        output_name=REGRESSION.output_name,
    )
    return keras.Model(pixels, values, name=f"{backbone.name}_regressor")


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


def _pixels(backbone: keras.Model) -> keras.KerasTensor:
    """The backbone is called on a new input, not extended: it stays one layer of the model."""
    return keras.Input(backbone.input_shape[1:], name="pixels", dtype="float32")


def _names(class_names: Sequence[str] | int) -> list[str]:
    if isinstance(class_names, int):
        class_names = [str(number) for number in range(class_names)]
    names = list(class_names)
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"Expected at least 2 different class names. Received: class_names={names}."
        )
    return names
