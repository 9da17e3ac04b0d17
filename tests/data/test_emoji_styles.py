import json
import subprocess
import sys

import numpy as np
import pytest

import keras_transfer as kx


def test_styles_hold_the_same_emoji_in_the_same_halves():
    folders = {style: kx.emoji_styles_folder(style) for style in ("noto", "twemoji", "openmoji")}
    listings = {
        style: sorted(str(file.relative_to(folder)) for file in folder.glob("*/*/*.png"))
        for style, folder in folders.items()
    }
    assert listings["noto"] == listings["twemoji"] == listings["openmoji"]
    halves = {name.split("/")[0]: set() for name in listings["noto"]}
    for name in listings["noto"]:
        halves[name.split("/")[0]].add(name.rsplit("/")[-1])
    assert {half: len(names) for half, names in halves.items()} == {"train": 799, "test": 837}
    assert not halves["train"] & halves["test"]


def test_splits_are_those_of_an_image_folder():
    ours = kx.emoji_styles("noto", image_size=(32, 32))
    folder = kx.image_folder(kx.emoji_styles_folder("noto"), image_size=(32, 32))
    for one, other in ((ours.validation, folder.validation), (ours.train, folder.train)):
        np.testing.assert_array_equal(next(iter(one))[0], next(iter(other))[0])


def test_unknown_style_is_refused():
    with pytest.raises(ValueError, match="Received: style='apple'"):
        kx.emoji_styles("apple")


@pytest.mark.slow
def test_two_processes_may_unpack_at_once(tmp_path):
    code = (
        "import keras_transfer as kx; "
        "print(len(list(kx.emoji_styles_folder('noto').rglob('*.png'))))"
    )
    environment = {
        "KERAS_HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
        for _ in range(2)
    ]
    counts = [json.loads(process.communicate()[0]) for process in processes]
    assert counts == [1636, 1636]
    assert len(list((tmp_path / "keras_transfer").iterdir())) == 1
