"""A backbone with a head: the models that users train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_transfer.models.features import Depths, feature_model, feature_names
from keras_transfer.models.fusion import Fusion, fuse
from keras_transfer.models.heads import Pooling, dense_head
from keras_transfer.models.notes import set_class_names
from keras_transfer.models.tasks import ONE_CLASS, REGRESSION, SEVERAL_CLASSES


def Classifier(  # noqa: N802  reads as the model it makes
    backbone: keras.Model | Sequence[keras.Model],
    class_names: Sequence[str] | int,
    *,
    depths: Depths | Sequence[Depths] = None,
    fusion: Fusion = "concat",
    pooling: Pooling = "avg",
    standardize: bool = False,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    multi_label: bool = False,
) -> keras.Model:
    """Puts a classification head on a backbone.

    The result is a functional Keras model of Keras's own layers: it is saved as `.keras` and
    loaded in any program, also one without this package. Its `class_names` attribute serves
    `kx.evaluate` and `kx.export`; a `.keras` file does not hold it, a run folder does.

    Reference: for features of several depths, Hariharan et al., "Hypercolumns for Object
    Segmentation and Fine-grained Localization", CVPR 2015, and Liu et al., "ParseNet: Looking
    Wider to See Better", 2015. For `fusion="attention"`, Yang et al., "Hierarchical Attention
    Networks for Document Classification", NAACL 2016, here over depths; Peters et al., "Deep
    contextualized word representations", NAACL 2018, mix layers by shares alike for all inputs.

    Args:
        backbone: keras.Model. From pixels to `(batch, height, width, channels)` or
            `(batch, channels)`, or from tokens to `(batch, length, width)`. It is used as it is, so
            training the classifier trains it. Or a sequence of several that take the same pixels:
            their features are shared.
        class_names: list of str, or int for as many classes named "0", "1", ...
        depths: str or list of str. The blocks of the backbone, as in `kx.split_into_blocks`,
            whose features are taken, at the end of each; what is above the last is left out.
            An int takes up to so many, evenly spaced from the middle of the network to its end.
            Several backbones take a list with such an entry for each. None takes the output.
        fusion: how features of several depths or backbones become one vector, after each was
            pooled and normalized (zero mean, unit variance). "concat" puts them side by side;
            "pool" maps each to 256 units and averages; "attention" takes the average by shares
            that are learned, see `kx.layer_attention`. Without effect on features of one depth.
        pooling: "avg", "max", or "avgmax" for both side by side. Over the tokens of a text,
            padding left out, also "mean" (which is "avg"), "cls" for the first token alone, or
            "attention" for the mean by shares that are learned.
        standardize: bool. Whether each feature is brought to zero mean and unit variance over the
            data, by a BatchNorm without scale and shift, as He et al., "Masked Autoencoders Are
            Scalable Vision Learners", CVPR 2022, do it to train a head alone.
        hidden: widths of dense ReLU layers between the features and the outputs.
        dropout: float from 0 to 1. Share of inputs dropped before each dense layer.
        multi_label: bool. Whether several classes may hold at once (labels `(batch, classes)` of
            0 and 1, sigmoid) or just one (int labels, softmax).

    Returns:
        A `keras.Model` from what the backbone takes to logits, float32 `(batch, classes)` under
        any dtype policy.

    Raises:
        ValueError: if there are less than two classes, names repeat, the head's settings are
            out of range, a depth is not there, or backbones do not take the same pixels.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> model = kx.Classifier(backbone, ["cat", "dog"], dropout=0.3)
    >>> model.output_shape, model.class_names
    ((None, 2), ['cat', 'dog'])
    >>> kx.Classifier(backbone, 2, depths=["block4c", "block6d"]).get_layer("fusion").output.shape
    (None, 272)
    >>> kx.Classifier(backbone, 2, depths=5).get_layer("fusion").output.shape
    (None, 1888)
    """
    names = _names(class_names)
    task = SEVERAL_CLASSES if multi_label else ONE_CLASS
    features = feature_model(backbone, depths)
    inputs = _inputs(features)
    logits = dense_head(
        _vector(features, inputs, fusion, pooling),
        len(names),
        standardize=standardize,
        hidden=hidden,
        dropout=dropout,
        output_name=task.output_name,
    )
    model = keras.Model(inputs, logits, name=f"{features.name}_classifier")
    return set_class_names(model, names)


def Regressor(  # noqa: N802
    backbone: keras.Model | Sequence[keras.Model],
    outputs: int = 1,
    *,
    depths: Depths | Sequence[Depths] = None,
    fusion: Fusion = "concat",
    pooling: Pooling = "avg",
    standardize: bool = False,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
) -> keras.Model:
    """Puts a regression head on a backbone.

    Args:
        backbone: keras.Model or several, as for `kx.Classifier`.
        outputs: int, at least 1. How many numbers are predicted for each picture.
        depths: as for `kx.Classifier`, like the arguments that follow.
        fusion: see there.
        pooling: see there.
        standardize: see there.
        hidden: see there.
        dropout: see there.

    Returns:
        A `keras.Model` from pixels to values, float32 `(batch, outputs)` under any dtype policy.

    Raises:
        ValueError: if the head's settings are out of range, a depth is not there, or backbones do
            not take the same pixels.

    Example:

    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> kx.Regressor(backbone, hidden=[16]).output_shape
    (None, 1)
    """
    if outputs < 1:
        raise ValueError(f"Expected `outputs` to be at least 1. Received: outputs={outputs}.")
    features = feature_model(backbone, depths)
    inputs = _inputs(features)
    values = dense_head(
        _vector(features, inputs, fusion, pooling),
        outputs,
        standardize=standardize,
        hidden=hidden,
        dropout=dropout,
        output_name=REGRESSION.output_name,
    )
    return keras.Model(inputs, values, name=f"{features.name}_regressor")


def _inputs(backbone: keras.Model) -> Any:
    """The backbone is called on new inputs, not extended: it stays one layer of the model."""
    # A sequential model that was never called has `inputs` alone.
    given = backbone.inputs[0] if isinstance(backbone, keras.Sequential) else backbone.input
    if isinstance(given, dict):
        return {key: _input(tensor, key) for key, tensor in given.items()}
    given = backbone.inputs[0]
    if len(given.shape) == 4:
        return keras.Input(given.shape[1:], name="pixels", dtype="float32")
    return _input(given, "text" if given.dtype == "string" else "features")


def _input(tensor: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.Input(tensor.shape[1:], name=name, dtype=tensor.dtype)


def _vector(
    features: keras.Model, inputs: Any, fusion: Fusion, pooling: Pooling
) -> keras.KerasTensor:
    outputs = keras.tree.flatten(features(inputs))
    mask = inputs.get("padding_mask") if isinstance(inputs, dict) else None
    return fuse(outputs, feature_names(features), fusion, pooling, mask)


def _names(class_names: Sequence[str] | int) -> list[str]:
    if isinstance(class_names, int):
        class_names = [str(number) for number in range(class_names)]
    names = list(class_names)
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"Expected at least 2 different class names. Received: class_names={names}."
        )
    return names
