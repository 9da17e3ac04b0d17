"""Two domains as methods see them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.adaptation.methods.method import DomainBatch

WIDTHS, CLASSES, SIZE = (7, 6), 4, 5
KERNEL = np.random.default_rng(9).normal(size=(WIDTHS[-1], CLASSES)).astype("float32")


def classify(features):
    return tf.matmul(features, tf.cast(KERNEL, features.dtype))


@pytest.fixture
def domain():
    """Gives random arrays of one domain."""

    def make(number, seed, *, shift=0.0):
        random = np.random.default_rng(seed)
        features = [random.normal(shift, 1, (number, width)) for width in WIDTHS]
        return {
            "inputs": random.normal(size=(number, SIZE)),
            "features": tuple(features),
            "logits": features[-1] @ KERNEL,
            "labels": np.eye(CLASSES)[random.integers(0, CLASSES, number)],
            "weights": random.uniform(0.2, 2, number),
        }

    return make


@pytest.fixture
def batch():
    """Turns such arrays into a DomainBatch of float32."""

    def make(arrays):
        tensors = keras.tree.map_structure(lambda x: tf.cast(x, tf.float32), arrays)
        return DomainBatch(**tensors, classify=classify)

    return make


@pytest.fixture
def prepared():
    """Builds a method for these domains."""

    def prepare(method):
        method.prepare(list(WIDTHS), CLASSES, keras.KerasTensor((None, SIZE), "float32"))
        return method

    return prepare
