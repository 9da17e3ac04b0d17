"""Keras's `fit` of a stage: what it starts, and how often."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.training.learner import Learner, fit

OPTIONS = {"epochs": 3, "initial_epoch": 0, "verbose": 0}


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def iterators(monkeypatch):
    """Cardinalities of the datasets of which iterators are started."""
    started, start = [], tf.data.Dataset.__iter__

    def counted(dataset):
        started.append(int(dataset.cardinality()))
        return start(dataset)

    monkeypatch.setattr(tf.data.Dataset, "__iter__", counted)
    return started


def examples(count):
    return tf.data.Dataset.from_tensor_slices((np.ones([count, 2]), np.ones([count, 1]))).batch(1)


def test_training_that_may_end_early_starts_one_iterator_an_epoch(model, iterators):
    fit(model, Learner(model, examples(5), None), [keras.callbacks.History()], **OPTIONS)
    assert iterators == [5] * 4  # Keras starts the next epoch's at the end of one


def test_training_that_goes_to_its_end_starts_one_in_all(model, iterators):
    fit(model, Learner(model, examples(5), None), [], **OPTIONS)
    assert iterators == [15, 15]  # the second at the end, in vain


def test_each_validation_on_features_starts_one(model, iterators):
    learner = Learner(model, examples(5), examples(2), found=["of a cache"])
    history = fit(model, learner, [keras.callbacks.History()], **OPTIONS)
    assert [count for count in iterators if count != 5] == [6] * 3
    assert len(history.history["val_loss"]) == 3
