import numpy as np
import pytest

from keras_transfer.adaptation.methods.decoders import default_decoder


@pytest.mark.parametrize(
    "shape", [(5,), (3, 2, 1), (8, 8, 3), (9, 16, 1), (33, 50, 3), (128, 128, 3), (7, 100, 2)]
)
def test_outputs_have_the_shape_of_the_inputs(shape):
    decoder = default_decoder(6, shape)
    assert decoder.output_shape == (None, *shape)
    assert decoder(np.ones([2, 6], "float32")).shape == (2, *shape)


def test_a_picture_of_224_pixels_from_1280_features_takes_few_weights():
    assert default_decoder(1280, (224, 224, 3)).count_params() < 5_000_000
