"""Pictures of any size to the one size that the model takes, in TensorFlow ops only."""

from __future__ import annotations

from typing import Literal, get_args

import tensorflow as tf

Resize = Literal["stretch", "crop", "pad"]


def resize_picture(image: tf.Tensor, size: tuple[int, int], resize: Resize) -> tf.Tensor:
    """Resizes a picture, bilinear with antialiasing.

    Args:
        image: tensor `(height, width, 3)`, values 0 to 255.
        size: (height, width) of the result, in pixels.
        resize: what happens when the proportions differ. `"stretch"` ignores them, `"crop"`
            keeps the largest centered part that has the new proportions, `"pad"` keeps the whole
            picture on white.

    Returns:
        float32 tensor `(size[0], size[1], 3)`, values 0 to 255, not rounded.

    Example:

    >>> import tensorflow as tf
    >>> wide = tf.zeros([10, 20, 3])
    >>> padded = resize_picture(wide, (8, 8), "pad")
    >>> padded[:, 0, 0].numpy().tolist()
    [255.0, 255.0, 0.0, 0.0, 0.0, 0.0, 255.0, 255.0]
    """
    check_resize(resize)
    if resize == "crop":
        image = _crop(image, size)
    inner = _fit(image, size) if resize == "pad" else tf.constant(size)
    # Only the small one as floats: of 64 megapixels they would be 768 MB.
    image = tf.cast(tf.image.resize(image, inner, antialias=True), tf.float32)
    if resize == "pad":
        top, left = tf.unstack((tf.constant(size) - inner) // 2)
        image = 255.0 - tf.image.pad_to_bounding_box(255.0 - image, top, left, *size)
    return tf.ensure_shape(image, [*size, 3])


def check_resize(resize: str) -> None:
    """Raises a `ValueError` unless `resize` is one of the three ways."""
    if resize not in get_args(Resize):
        raise ValueError(
            f"Expected `resize` to be one of {get_args(Resize)}. Received: resize={resize!r}."
        )


def _shape(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.shape(image)[:2], tf.float32)


def _crop(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    scale = tf.reduce_min(_shape(image) / tf.constant(size, tf.float32))
    target = tf.cast(tf.round(tf.constant(size, tf.float32) * scale), tf.int32)
    target = tf.clip_by_value(target, 1, tf.shape(image)[:2])
    top, left = tf.unstack((tf.shape(image)[:2] - target) // 2)
    return tf.image.crop_to_bounding_box(image, top, left, target[0], target[1])


def _fit(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    scale = tf.reduce_min(tf.constant(size, tf.float32) / _shape(image))
    return tf.clip_by_value(
        tf.cast(tf.round(_shape(image) * scale), tf.int32), 1, tf.constant(size)
    )
