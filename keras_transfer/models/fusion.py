"""From the features of several depths to one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras
import numpy as np

from keras_transfer.models.backbone_and_head import backbone_of
from keras_transfer.models.features import feature_names
from keras_transfer.models.heads import Pooling, pool

Fusion = Literal["concat", "pool", "attention"]
# The common width of depths that are averaged, as in feature pyramids (Lin et al., CVPR 2017).
WIDTH = 256
ATTENTION = "attention_weights"


def fuse(
    features: Sequence[keras.KerasTensor],
    names: Sequence[str],
    fusion: Fusion,
    pooling: Pooling,
    mask: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Pools the features of each depth and makes one vector of them; see `kx.Classifier`."""
    if fusion not in get_args(Fusion):
        raise ValueError(
            f"Expected `fusion` to be one of {get_args(Fusion)}. Received: fusion={fusion!r}."
        )
    if len(features) == 1:
        return pool(features[0], pooling, mask=mask)
    prefixes = [name.replace("/", ".") + "_" for name in names]
    vectors = [
        _comparable(pool(tensor, pooling, prefix, mask), prefix)
        for tensor, prefix in zip(features, prefixes, strict=True)
    ]
    if fusion == "concat":
        return keras.layers.Concatenate(name="fusion")(vectors)
    projected = [
        keras.layers.Dense(WIDTH, name=f"{prefix}projection")(vector)
        for vector, prefix in zip(vectors, prefixes, strict=True)
    ]
    if fusion == "pool":
        return keras.layers.Average(name="fusion")(projected)
    return _attend(projected, prefixes)


def layer_attention(model: keras.Model, pictures: Any) -> dict[str, np.ndarray]:
    """How much each depth counts for each picture, in a model with `fusion="attention"`.

    Args:
        model: keras.Model made by `kx.Classifier` or `kx.Regressor`, loaded ones included.
        pictures: what `keras.Model.predict` takes: float array `(n, height, width, 3)` from 0 to
            255, or a tf.data.Dataset of batches (labels are passed over).

    Returns:
        A dict from the name of each depth (of a block, of a backbone, or "backbone/block") to a
        float32 array `(n,)`, in the order input to output. For each picture they sum to 1.

    Raises:
        ValueError: if the model has no attention over depths.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> model = kx.Classifier(backbone, 2, depths=["block4c", "top"], fusion="attention")
    >>> kx.layer_attention(model, np.zeros([1, 32, 32, 3]))
    {'block4c': array([0.5], dtype=float32), 'top': array([0.5], dtype=float32)}
    """
    found = [layer for layer in model.layers if layer.name == ATTENTION]
    if not found:
        raise ValueError(
            'Expected a model made with fusion="attention" and several depths or backbones. '
            f"Received: model {model.name!r} without a layer {ATTENTION!r}."
        )
    weights = keras.Model(model.input, found[0].output).predict(pictures, verbose=0)[..., 0]
    return dict(zip(feature_names(backbone_of(model)), weights.T, strict=True))


def _comparable(vector: keras.KerasTensor, prefix: str) -> keras.KerasTensor:
    """Zero mean and unit variance within each vector.

    Depths differ in scale (sixfold in EfficientNet-Lite0), and the largest would rule. No
    statistics are kept, so it is the same in training and use, for source and target. After Liu
    et al., "ParseNet: Looking Wider to See Better", 2015; what they learn on top, a scale, the
    dense layer that follows learns as well.
    """
    return keras.layers.LayerNormalization(
        center=False, scale=False, name=f"{prefix}normalization"
    )(vector)


def _attend(vectors: list[keras.KerasTensor], prefixes: list[str]) -> keras.KerasTensor:
    """Attention as of Yang et al. 2016; from an even share of each depth on."""
    rows = [
        keras.layers.Reshape((1, WIDTH), name=f"{prefix}row")(vector)
        for vector, prefix in zip(vectors, prefixes, strict=True)
    ]
    stack = keras.layers.Concatenate(axis=1, name="attention_rows")(rows)
    hidden = keras.layers.Dense(WIDTH, activation="tanh", name="attention_hidden")(stack)
    # float32 under any dtype policy: the shares of a picture sum to 1.
    scores = keras.layers.Dense(
        1, use_bias=False, kernel_initializer="zeros", dtype="float32", name="attention_scores"
    )(hidden)
    shares = keras.layers.Softmax(axis=1, dtype="float32", name=ATTENTION)(scores)
    fused = keras.layers.Dot(axes=1, name="attention_sum")([stack, shares])
    return keras.layers.Reshape((WIDTH,), name="fusion")(fused)
