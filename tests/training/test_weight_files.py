"""Weights of several epochs in files that share what is frozen."""

import keras
import numpy as np
import pytest

from keras_transfer.training import weight_files
from keras_transfer.training.weight_files import WeightFiles


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    frozen = keras.layers.Dense(200, trainable=False, name="frozen")
    layers = [frozen, keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input([100]), *layers])


def equal(found, model):
    expected = [np.asarray(v.numpy()).astype("float32") for v in model.variables]
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_each_file_gives_back_all_weights_and_what_is_frozen_lies_in_one(model, tmp_path):
    files, expected = WeightFiles(tmp_path / "shared.npz"), []
    for epoch in range(3):
        for variable in [*model.trainable_variables, model.layers[1].moving_mean]:
            variable.assign_add(np.ones(variable.shape))
        expected.append(model.get_weights())
        files.save(tmp_path / f"{epoch}.npz", model.variables)
    for epoch, weights in enumerate(expected):
        found = files.load(tmp_path / f"{epoch}.npz")
        assert all(map(np.array_equal, found, weights))
    assert (tmp_path / "shared.npz").stat().st_size > 80_000  # 100 x 200 in float32
    assert (tmp_path / "2.npz").stat().st_size < 10_000


def test_what_a_later_stage_unfreezes_is_kept_from_then_on(model, tmp_path):
    files = WeightFiles(tmp_path / "shared.npz")
    files.save(tmp_path / "0.npz", model.variables)
    model.layers[0].trainable = True
    model.layers[0].kernel.assign_add(np.ones([100, 200]))
    files.save(tmp_path / "1.npz", model.variables)
    assert equal(files.load(tmp_path / "1.npz"), model)


def test_a_new_process_goes_on_with_the_files_of_the_one_before(model, tmp_path):
    WeightFiles(tmp_path / "shared.npz").save(tmp_path / "0.npz", model.variables)
    model.layers[0].kernel.assign(np.zeros([100, 200]))  # frozen, and another in this process
    again = WeightFiles(tmp_path / "shared.npz")
    again.save(tmp_path / "1.npz", model.variables)
    assert equal(again.load(tmp_path / "1.npz"), model)
    assert not equal(again.load(tmp_path / "0.npz"), model)


def test_bfloat16_comes_back_exactly(tmp_path):
    variables = [keras.Variable([1.5, 2.25], dtype="bfloat16", trainable=False)]
    files = WeightFiles(tmp_path / "shared.npz")
    files.save(tmp_path / "0.npz", variables)
    assert files.load(tmp_path / "0.npz")[0].tolist() == [1.5, 2.25]


def test_what_is_not_in_training_is_read_once(model, tmp_path, monkeypatch):
    reads = []
    read = weight_files._array
    monkeypatch.setattr(weight_files, "_array", lambda x: reads.append(x.path) or read(x))
    files, tail = WeightFiles(tmp_path / "shared.npz"), model.layers[1:]
    in_training = [variable for layer in tail for variable in layer.variables]
    model.layers[0].bias.assign(np.ones([200]))
    files.save(tmp_path / "0.npz", model.variables, in_training)
    for epoch in (1, 2):
        reads.clear()
        for variable in in_training:
            variable.assign_add(np.ones(variable.shape))
        files.save(tmp_path / f"{epoch}.npz", model.variables, in_training)
        assert sorted(reads) == sorted(variable.path for variable in in_training)
        assert equal(files.load(tmp_path / f"{epoch}.npz"), model)


def test_what_was_another_once_is_read_each_time(model, tmp_path):
    WeightFiles(tmp_path / "shared.npz").save(tmp_path / "0.npz", model.variables)
    model.layers[0].kernel.assign(np.zeros([100, 200]))  # in the process after
    files = WeightFiles(tmp_path / "shared.npz")
    for epoch in (1, 2):
        files.save(tmp_path / f"{epoch}.npz", model.variables, model.layers[2].variables)
        assert equal(files.load(tmp_path / f"{epoch}.npz"), model)
    # A later stage trains more, and the one after that less again.
    model.layers[1].gamma.assign_add(np.ones([200]))
    files.save(tmp_path / "3.npz", model.variables)
    files.save(tmp_path / "4.npz", model.variables, model.layers[2].variables)
    assert equal(files.load(tmp_path / "4.npz"), model)
