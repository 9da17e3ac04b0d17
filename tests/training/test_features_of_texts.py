"""Training on features of texts, which are computed once."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.backbones.words import Words
from keras_transfer.data.review_domains import TABLE
from keras_transfer.data.table_rows import table_rows


@pytest.fixture(scope="module")
def words():
    vocabulary = sorted(
        {
            word
            for _, [text, domain] in table_rows(TABLE, ["text", "domain"])
            if domain == "products"
            for word in text.lower().split()
            if word.isalpha() and word.isascii()
        }
    )
    return Words(vocabulary[:3000], lowercase=True)


def make_model(masked=True):
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    embedding = keras.layers.Embedding(3002, 16, embeddings_initializer="normal", name="vectors")
    embedding.trainable = False
    vectors = embedding(inputs["token_ids"])
    if masked:
        mask = keras.ops.expand_dims(keras.ops.cast(inputs["padding_mask"], "float32"), -1)
        count = keras.ops.maximum(keras.ops.sum(mask, axis=1), 1.0)
        mean = keras.ops.sum(vectors * mask, axis=1) / count
    else:
        mean = keras.ops.mean(vectors, axis=1)
    logits = keras.layers.Dense(1, name="logits")(mean)
    model = keras.Model(inputs, logits)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return model


class Frozen(kx.Strategy if isinstance(kx.Strategy, type) else object):
    pass


def train(words, cache, masked=True, **options):
    keras.utils.set_random_seed(0)
    model = make_model(masked)
    data = kx.review_domains("products", preprocessor=words, batch_size=32, seed=3)
    histories = kx.fine_tune(
        model, data.train, data.validation, cache=cache, epochs=3, learning_rate=0.05, **options
    )
    return model, histories
