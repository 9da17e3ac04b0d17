import numpy as np
import pytest

from keras_transfer.adaptation.selection.running_mean import RunningMean


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.9])
def test_each_number_has_a_share_of_the_weight_of_the_next(smoothing):
    mean, numbers = RunningMean(smoothing), [3.0, -1.0, 4.0, 1.0]
    for count in range(1, 5):
        weights = [smoothing ** (count - 1 - place) for place in range(count)]
        expected = np.average(numbers[:count], weights=weights)
        assert mean.add(numbers[count - 1]) == pytest.approx(expected)
        assert mean.count == count
