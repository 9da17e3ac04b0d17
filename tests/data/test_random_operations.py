import keras
import numpy as np

from keras_transfer.data.random_operations import RandomOperations


def test_each_picture_has_operations_of_its_own():
    pictures = np.ones([200, 4, 4, 3], "float32")
    layer = RandomOperations([Scale(2.0), Scale(3.0), Scale(5.0)], 2, seed=0)
    changed = np.asarray(layer(pictures, training=True))
    assert (changed == changed[:, :1, :1, :1]).all()
    values, counts = np.unique(changed[:, 0, 0, 0], return_counts=True)
    # Products of two of the three, the mixed ones twice as often.
    assert values.tolist() == [4, 6, 9, 10, 15, 25]
    np.testing.assert_allclose(counts / 200, [1 / 9, 2 / 9, 1 / 9, 2 / 9, 2 / 9, 1 / 9], atol=0.08)


class Scale(keras.layers.Layer):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, pictures, training=False):
        return pictures * self.factor if training else pictures


def test_pictures_of_any_size_stay_as_large():
    layer = RandomOperations([Scale(2.0)], 1)
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    assert model.output_shape == (None, None, None, 3)
    np.testing.assert_array_equal(model(np.ones([2, 5, 7, 3]), training=True), 2)
