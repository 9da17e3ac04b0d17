"""Multi-scale training: every batch in another size."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from keras_transfer.data.splits import keep_notes


def multi_scale(
    dataset: tf.data.Dataset,
    sizes: Sequence[int | tuple[int, int]],
    *,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Resizes every batch to one of several sizes, chosen at random.

    For models that are to see objects of other sizes, or pictures of another size, than they were
    trained on: `kx.load_backbone(handle, input_shape=(None, None, 3))`. For training data only;
    validate at the size that will be served. What needs pictures of one size (the "strong"
    augmentation, `keras.layers.CutMix`) has to be mapped before.

    Reference: Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017.

    Args:
        dataset: tf.data.Dataset of batches `(pictures, labels[, weights])`, pictures
            `(batch, height, width, 3)`. Make it with the largest of the sizes.
        sizes: list of sizes in pixels, each an int for squares or a tuple (height, width).
        seed: int, for the same sequence in every run; None for another one. Each epoch has
            another one either way.

    Returns:
        A `tf.data.Dataset` of as many batches, pictures float32 `(batch, None, None, 3)`; bilinear,
        averaging where they become smaller.

    Raises:
        ValueError: if there are no sizes, one is not positive, or the dataset has no batches of
            pictures.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> data = kx.arrays(np.zeros([8, 32, 32, 3], "uint8"), [0, 1] * 4, batch_size=1)
    >>> scaled = kx.multi_scale(data.train, [16, 24, 32], seed=0)
    >>> {pictures.shape[1] for pictures, _ in scaled} <= {16, 24, 32}
    True
    """
    pairs = [(size, size) if isinstance(size, int) else tuple(size) for size in sizes]
    if not pairs or any(len(pair) != 2 or min(pair) < 1 for pair in pairs):
        raise ValueError(
            "Expected `sizes` to be a list of pixels or of (height, width), at least one, all "
            f"above 0. Received: sizes={sizes}."
        )
    spec = dataset.element_spec
    if not (
        isinstance(spec, tuple) and isinstance(spec[0], tf.TensorSpec) and len(spec[0].shape) == 4
    ):
        raise ValueError(
            "Expected a dataset of batches (pictures, labels[, weights]), pictures of shape "
            f"(batch, height, width, 3). Received: elements {spec}."
        )
    choices = tf.constant(pairs, tf.int32)

    def resize(batch: tuple[tf.Tensor, ...], number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        size = choices[number % len(pairs)]
        return tf.image.resize(batch[0], size, antialias=True), *batch[1:]

    numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    resized = tf.data.Dataset.zip(dataset.map(lambda *batch: batch), numbers).map(
        resize, num_parallel_calls=tf.data.AUTOTUNE
    )
    return keep_notes(resized.prefetch(tf.data.AUTOTUNE), dataset)
