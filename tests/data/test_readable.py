import numpy as np
import pytest

import keras_transfer as kx


@pytest.fixture
def broken_folder(picture_folder):
    """The picture folder with one broken file of each kind."""
    dark = picture_folder / "dark"
    whole = (dark / "1.jpg").read_bytes()
    (dark / "broken_empty.png").write_bytes(b"")
    (dark / "broken_text.png").write_text("this is no picture")
    (dark / "broken_cut.jpg").write_bytes(whole[: len(whole) // 2])
    png = (dark / "0.png").read_bytes()
    (dark / "broken_cut.png").write_bytes(png[: len(png) // 2])
    header = bytearray(png)
    header[16:24] = (20_000).to_bytes(4, "big") * 2
    (dark / "broken_huge.png").write_bytes(header)
    (dark / "broken_format.webp").write_bytes(b"RIFF\0\0\0\0WEBPVP8 ")
    return picture_folder


REASONS = {
    "broken_empty.png": "the file is empty",
    "broken_text.png": "not a JPEG, PNG, BMP or GIF picture",
    "broken_cut.jpg": "cut short or damaged (JPEG)",
    "broken_cut.png": "cut short or damaged (PNG)",
    "broken_huge.png": "The header claims more than 64,000,000 pixels",
    "broken_format.webp": "not a JPEG, PNG, BMP or GIF picture",
}


def test_every_unreadable_picture_is_named_with_its_reason(broken_folder):
    with pytest.raises(kx.UnreadablePicturesError) as raised:
        kx.image_folder(broken_folder)
    assert {
        path.rsplit("/")[-1]: reason for path, reason in raised.value.reasons.items()
    } == REASONS
    for name, reason in REASONS.items():
        assert f"{name}: {reason}" in str(raised.value)


def test_skip_lists_and_leaves_them_out(broken_folder, capsys):
    data = kx.image_folder(broken_folder, on_error="skip", validation_split=0.0)
    assert sum(len(labels) for _, labels in data.train) == 20
    shown = "".join(capsys.readouterr().out.split())
    assert "6unreadablepictures" in shown
    assert "thefileisempty" in shown


def test_16_bit_and_cmyk_pictures_are_readable(picture_folder, encode):
    from PIL import Image

    Image.fromarray(np.full([9, 9], 40_000, np.uint16)).save(picture_folder / "dark" / "deep.png")
    Image.new("CMYK", (9, 9)).save(picture_folder / "dark" / "ink.jpg")
    data = kx.image_folder(picture_folder, validation_split=0.0)
    assert sum(len(labels) for _, labels in data.train) == 22


def test_class_whose_pictures_are_all_skipped_is_named(picture_folder):
    for file in (picture_folder / "dark").iterdir():
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"none for \['dark'\]"):
        kx.image_folder(picture_folder, on_error="skip")
