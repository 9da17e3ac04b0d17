"""GIF files cut behind their first frame."""

import io
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_transfer.data.gif import first_frame


def gif(frames, **options):
    random = np.random.default_rng(0)
    pictures = [
        Image.fromarray(random.integers(0, 255, (20, 30, 3), np.uint8)).quantize(200)
        for _ in range(frames)
    ]
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], **options)
    return file.getvalue()


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize(
    "options",
    [{}, {"duration": 50}, {"transparency": 3}, {"comment": b"hi" * 300}, {"interlace": True}],
    ids=lambda options: next(iter(options), "plain"),
)
def test_one_frame_is_left_and_it_is_the_first(frames, options):
    data = gif(frames, **options)
    cut = first_frame(tf.constant(data)).numpy()
    assert (len(cut) < len(data)) == (frames > 1)
    found, whole = tf.image.decode_gif(cut).numpy(), tf.image.decode_gif(data).numpy()
    assert (len(found), len(whole)) == (1, frames)
    np.testing.assert_array_equal(found[0], whole[0])


@pytest.mark.parametrize("size", range(10, 3000, 97))
def test_a_file_that_ends_early_is_left_to_the_decoder(size):
    data = gif(3)[:size]
    cut = first_frame(tf.constant(data)).numpy()
    assert cut == data or data.startswith(cut[:-1])


LARGE = """
import io, resource, sys
import tensorflow as tf
from PIL import Image
from keras_transfer.data.decoding import decode_picture

file = io.BytesIO()
frames = [Image.new("P", (4000, 4000), color) for color in range(30)]
frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
del frames
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode_picture(tf.constant(file.getvalue()))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_long_animation_takes_the_memory_of_one_frame():
    told = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, check=True, text=True)
    frame = 4000 * 4000 * 3
    # 30 frames of 16 MB each are in the file; one is 48 MB of RGB.
    assert int(told.stdout) * 1024 < 4 * frame
