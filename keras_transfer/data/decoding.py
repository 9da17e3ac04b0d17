"""Encoded pictures (JPEG, PNG, BMP, GIF) to RGB pixels, in TensorFlow ops only.

Training reads files through this module and the exported model decodes requests through it, so
both see the same pixels. Whatever the file holds comes out as three channels: grey is repeated,
palettes are looked up, transparent parts show a white background.
"""

from __future__ import annotations

import tensorflow as tf

from keras_transfer.data.gif import first_frame, whiten

# A header may claim any size; decoding allocates it. 64 megapixels is 192 MB of RGB.
MAX_PIXELS = 64_000_000


def decode_picture(data: tf.Tensor) -> tf.Tensor:
    """Decodes one picture to RGB on white; of an animation, the first frame.

    Args:
        data: scalar string tensor, the bytes of a JPEG, PNG, BMP or GIF file.

    Returns:
        uint8 tensor `(height, width, 3)`. 16 bits a channel are cut to 8; CMYK becomes RGB.

    Raises:
        tf.errors.InvalidArgumentError: if the bytes are no such picture, are cut short, or the
            header claims more than 64 megapixels (found before anything is decoded).

    Example:

    >>> import tensorflow as tf
    >>> half_seen = tf.io.encode_png(tf.constant([[[200, 100, 0, 128]]], tf.uint8))
    >>> decode_picture(half_seen).numpy().tolist()
    [[[227, 177, 127]]]
    """
    with tf.control_dependencies(_checks(data)):
        data = tf.identity(data)
    is_gif = tf.strings.substr(data, 0, 4) == b"GIF8"
    is_bmp = tf.strings.substr(data, 0, 2) == b"BM"
    data = tf.cond(is_gif, lambda: whiten(first_frame(data)), lambda: data)
    image = tf.io.decode_image(data, channels=0, expand_animations=False)
    image.set_shape([None, None, None])
    image = tf.cond(is_bmp, lambda: _bmp_colors(data, image), lambda: image)
    return _on_white(image)


def _on_white(image: tf.Tensor) -> tf.Tensor:
    """One, two, three or four uint8 channels (grey or RGB, with or without alpha) to RGB."""
    height, width, channels = tf.unstack(tf.shape(image))
    has_alpha = channels % 2 == 0
    colors = image[..., : channels - tf.cast(has_alpha, tf.int32)]
    colors = tf.cond(has_alpha, lambda: _blend(colors, image[..., -1:]), lambda: colors)
    return tf.ensure_shape(tf.broadcast_to(colors, [height, width, 3]), [None, None, 3])


def _blend(colors: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    # Integers, rounded: (c * a + 255 * (255 - a)) / 255, which is at most 65,025 before.
    colors, alpha = tf.cast(colors, tf.uint16), tf.cast(alpha, tf.uint16)
    return tf.cast((colors * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def _checks(data: tf.Tensor) -> list[tf.Operation]:
    """What TensorFlow decodes besides (WebP, ...) differs between its versions; refuse it."""
    height, width = picture_size(data)
    unknown = "This is not a JPEG, PNG, BMP or GIF picture."
    huge = f"The header claims more than {MAX_PIXELS:,} pixels."
    known = tf.debugging.assert_positive(height * width, message=unknown)
    small = tf.debugging.assert_less_equal(height * width, tf.constant(MAX_PIXELS, tf.int64), huge)
    return [op for op in (known, small) if op is not None]


def picture_size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads height and width from the header alone; 0, 0 where there is no known header.

    Args:
        data: scalar string tensor, the bytes of a picture file.

    Returns:
        Two int64 scalars: height and width in pixels.

    Raises:
        tf.errors.InvalidArgumentError: if a JPEG ends before its header does.

    Example:

    >>> import tensorflow as tf
    >>> [int(n) for n in picture_size(tf.io.encode_png(tf.zeros([2, 5, 3], tf.uint8)))]
    [2, 5]
    """
    size = tf.cond(
        tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff",
        lambda: tf.io.extract_jpeg_shape(data, output_type=tf.int64)[:2],
        lambda: _size_at_fixed_place(data),
    )
    return size[0], size[1]


def _size_at_fixed_place(data: tf.Tensor) -> tf.Tensor:
    head = tf.cast(_numbers(data, 0, 32), tf.int64)
    # the first bytes of the format; its width and height, most significant byte first
    formats = (
        (b"\x89PNG", head[16:20], head[20:24]),
        (b"GIF8", head[6:8][::-1], head[8:10][::-1]),
        (b"BM", head[18:22][::-1], head[22:26][::-1]),
    )
    size = tf.zeros([2], tf.int64)
    for magic, width, height in formats:
        found = tf.strings.substr(data, 0, len(magic)) == magic
        size = tf.where(found, tf.stack([_integer(height), _integer(width)]), size)
    # A BMP stored from top to bottom has a negative height.
    return tf.where(size >= 2**31, 2**32 - size, size)


def _integer(digits: tf.Tensor) -> tf.Tensor:
    """Bytes, most significant first, to a number."""
    weights = [256**power for power in reversed(range(digits.shape[0]))]
    return tf.reduce_sum(digits * tf.constant(weights, tf.int64))


def _numbers(data: tf.Tensor, start: int | tf.Tensor, length: int) -> tf.Tensor:
    """`length` bytes from `start` as uint8, zeros past the end."""
    return tf.io.decode_raw(tf.strings.substr(data, start, length), tf.uint8, fixed_length=length)


def _bmp_colors(data: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """TensorFlow gives palette indices as grey, and the unused fourth byte as alpha.

    Reference: "BITMAPV4HEADER structure", Microsoft: the alpha mask stands at byte 66, and there
    is none where the header is shorter than 56 bytes.
    """
    header = tf.cast(_numbers(data, 0, 70), tf.int32)
    header_size, compression = header[14], header[30]
    with tf.control_dependencies(
        [tf.debugging.assert_equal(compression % 3, 0, message="The BMP is compressed.")]
    ):
        palette = tf.reshape(_numbers(data, 14 + header_size, 1024), [256, 4])[:, 2::-1]
    has_alpha = (header_size >= 56) & (tf.reduce_sum(header[66:70]) > 0)
    channels = tf.shape(image)[-1]
    return tf.case(
        [
            (channels == 1, lambda: tf.gather(palette, tf.cast(image[..., 0], tf.int32))),
            ((channels == 4) & ~has_alpha, lambda: image[..., :3]),
        ],
        default=lambda: image,
    )
