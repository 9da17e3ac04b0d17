import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_transfer.data.decoding import MAX_PIXELS, decode_picture, picture_size

GRAPH = tf.function(decode_picture, input_signature=[tf.TensorSpec([], tf.string)])


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)


def on_white(data: bytes) -> np.ndarray:
    """What Pillow shows, on a white background."""
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    background = Image.new("RGBA", image.size, "white")
    background.alpha_composite(image)
    return np.array(background.convert("RGB"))


def with_alpha(pixels):
    alpha = np.random.default_rng(1).integers(0, 256, (*pixels.shape[:2], 1), dtype=np.uint8)
    alpha[0, 0], alpha[0, 1] = 0, 255
    return np.concatenate([pixels, alpha], -1)


def as_mode(pixels, mode, file_format, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_lossless_formats_equal_pillow(pixels, file_format, mode):
    data = as_mode(pixels, mode, file_format)
    np.testing.assert_array_equal(GRAPH(data), on_white(data))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_equals_pillow_but_for_rounding(mode):
    smooth = np.array(Image.linear_gradient("L").resize((40, 30)).convert("RGB"))
    data = as_mode(smooth, mode, "JPEG", quality=95)
    difference = GRAPH(data).numpy().astype(int) - on_white(data)
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_put_on_white(pixels, mode):
    data = as_mode(with_alpha(pixels), mode, "PNG")
    difference = GRAPH(data).numpy().astype(int) - on_white(data)
    assert np.abs(difference).max() <= 1
    assert GRAPH(data).numpy()[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
@pytest.mark.parametrize("place", [(0, 0), (4, 3)])
def test_transparent_palette_entry_is_white(pixels, file_format, place):
    palette = Image.fromarray(pixels).convert("P")
    file = io.BytesIO()
    palette.save(file, file_format, transparency=int(np.array(palette)[place]))
    result = GRAPH(file.getvalue()).numpy()
    np.testing.assert_array_equal(result, on_white(file.getvalue()))
    assert result[place].tolist() == [255, 255, 255]


def test_transparent_black_of_a_gif_with_its_own_frame_palette_is_white():
    frame = np.zeros([4, 4], np.uint8)
    frame[1:3, 1:3] = 1
    image = Image.new("P", (4, 4))
    image.putdata(frame.ravel().tolist())
    image.putpalette([0, 0, 0, 10, 200, 30])
    file = io.BytesIO()
    image.save(file, "GIF", transparency=0, include_color_table=True)
    result = GRAPH(file.getvalue()).numpy()
    np.testing.assert_array_equal(result, on_white(file.getvalue()))
    assert result[0, 0].tolist() == [255, 255, 255]


def test_animation_gives_its_first_frame(pixels):
    frames = [Image.fromarray(pixels).convert("P"), Image.fromarray(255 - pixels).convert("P")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(GRAPH(file.getvalue()), on_white(file.getvalue()))


def test_16_bits_are_cut_to_8():
    values = np.array([[0, 256, 65535, 32768]], np.uint16)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    assert GRAPH(file.getvalue()).numpy()[0, :, 0].tolist() == [0, 1, 255, 128]


def test_bmp_with_32_bits_and_no_alpha_mask_is_opaque(pixels):
    data = as_mode(with_alpha(pixels), "RGBA", "BMP")
    assert data[28] == 32
    np.testing.assert_array_equal(GRAPH(data), on_white(data))


def huge(file_format):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    side = 20_000
    if file_format == "png":
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    if file_format == "gif":
        return b"GIF89a" + struct.pack("<HH", side, side) + b"\0" * 20
    if file_format == "bmp":
        return b"BM" + b"\0" * 12 + struct.pack("<IiiHHI", 40, side, -side, 1, 24, 0) + b"\0" * 24
    jpeg = tf.io.encode_jpeg(np.zeros([8, 8, 3], np.uint8)).numpy()
    size_at = jpeg.index(b"\xff\xc0") + 5  # behind the marker, a length and a precision
    return jpeg[:size_at] + struct.pack(">HH", side, side) + jpeg[size_at + 4 :]


@pytest.mark.parametrize("file_format", ["png", "gif", "bmp", "jpeg"])
def test_header_that_claims_too_much_is_refused_before_decoding(file_format):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"more than {MAX_PIXELS:,}"):
        GRAPH(huge(file_format))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF"])
def test_size_is_read_from_the_header(encode, file_format):
    data = encode(np.zeros([11, 300, 3], np.uint8), file_format)
    assert [int(n) for n in picture_size(data)] == [11, 300]


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_pictures_raise(encode, file_format, share):
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    data = encode(noise, file_format)
    with pytest.raises(tf.errors.InvalidArgumentError):
        GRAPH(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "data", [b"", b"x", b"not a picture at all", b"BM", b"GIF89a", b"\xff\xd8\xff"]
)
def test_other_bytes_raise(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        GRAPH(data)
