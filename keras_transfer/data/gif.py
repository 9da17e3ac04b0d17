"""GIF files as TensorFlow decodes them right: one frame, and no transparent color.

Reference: "Graphics Interchange Format, version 89a", 1990.
"""

from __future__ import annotations

import tensorflow as tf

_BYTES = [bytes([value]) for value in range(256)]
# Where a walk through the blocks of a file is: before a block, inside one, behind a picture, lost.
_BETWEEN, _EXTENSION, _PICTURE, _FOUND, _LOST = range(5)


def first_frame(data: tf.Tensor) -> tf.Tensor:
    """Cuts an animation behind its first frame: TensorFlow would decode and hold all of them.

    Args:
        data: scalar string tensor, the bytes of a GIF file.

    Returns:
        The same kind of tensor; the bytes as they are where there is no second frame, or no end to
        the first.
    """
    numbers = tf.cast(tf.io.decode_raw(tf.strings.join([data, b"\0" * 16]), tf.uint8), tf.int32)
    size = tf.size(numbers) - 16
    # What introduces a picture behind the end of a block, or says how long one is shown; by chance
    # inside of pictures, too.
    introduced = (numbers[:-1] == 0) & (numbers[1:] == 0x2C)
    controlled = (numbers[:-2] == 0x21) & (numbers[1:-1] == 0xF9)
    several = tf.maximum(_count(introduced), _count(controlled)) > 1
    return tf.cond(several, lambda: _cut(data, numbers, size), lambda: data)


def _count(places: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(places, tf.int32))


def _cut(data: tf.Tensor, numbers: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Walks block by block, as each says how long it is."""

    def step(place: tf.Tensor, where: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        byte, inside = numbers[place], where != _BETWEEN
        begun = tf.where(byte == 0x2C, _PICTURE, tf.where(byte == 0x21, _EXTENSION, _LOST))
        head = tf.where(begun == _PICTURE, 11 + _palette(numbers[place + 9]), 2)
        ended = tf.where(where == _PICTURE, _FOUND, _BETWEEN)
        then = tf.where(byte > 0, where, ended)
        return place + tf.where(inside, 1 + byte, head), tf.where(inside, then, begun)

    def goes_on(place: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
        return (place < size) & (where < _FOUND)

    start = 13 + _palette(numbers[10])
    place, where = tf.while_loop(goes_on, step, (start, tf.constant(_BETWEEN)))
    whole = tf.strings.join([tf.strings.substr(data, 0, place), b"\x3b"])
    return tf.where(where == _FOUND, whole, data)


def _palette(flags: tf.Tensor) -> tf.Tensor:
    """How many bytes the colors take that the flags of a screen or a picture tell of."""
    return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)


def whiten(data: tf.Tensor) -> tf.Tensor:
    """Makes the transparent color of the first frame an opaque white: TensorFlow shows it black.

    Reference: "Graphics Interchange Format, version 89a", 1990, sections 18, 20 and 23.
    """
    numbers = tf.cast(tf.io.decode_raw(tf.strings.join([data, b"\0" * 18]), tf.uint8), tf.int32)
    at = lambda offset: numbers[offset : tf.size(numbers) - 17 + offset]  # noqa: E731
    # A graphic control extension of four bytes, and an image descriptor right behind it.
    found = (at(0) == 0x21) & (at(1) == 0xF9) & (at(2) == 4) & (at(7) == 0) & (at(8) == 0x2C)
    places = tf.reshape(tf.where(found), [-1])
    first = tf.cast(tf.concat([places, [0]], 0)[0], tf.int32)
    transparent = (tf.size(places) > 0) & (numbers[first + 3] % 2 == 1)
    return tf.cond(transparent, lambda: _whiten_entry(data, numbers, first), lambda: data)


def _whiten_entry(data: tf.Tensor, numbers: tf.Tensor, control: tf.Tensor) -> tf.Tensor:
    has_own_palette = numbers[control + 17] >= 128
    palette = tf.where(has_own_palette, control + 18, 13)
    data = _replace(data, palette + 3 * numbers[control + 6], b"\xff\xff\xff")
    # The lowest bit of the flags says that there is a transparent color.
    return _replace(data, control + 3, tf.gather(_BYTES, numbers[control + 3] - 1))


def _replace(data: tf.Tensor, place: tf.Tensor, piece: bytes | tf.Tensor) -> tf.Tensor:
    length = tf.strings.length(piece)
    rest = tf.strings.substr(data, place + length, tf.strings.length(data))
    return tf.strings.join([tf.strings.substr(data, 0, place), piece, rest])
