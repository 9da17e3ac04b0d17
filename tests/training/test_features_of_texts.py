"""Training on features of texts ends where training on their tokens does."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.backbones.words import Words

CLASSES = ["calm", "loud"]
VOCABULARY = [f"w{n}" for n in range(40)]


@pytest.fixture
def table(tmp_path):
    """Texts of 1 to 30 words; those of the second half of the vocabulary are loud."""
    random = np.random.default_rng(0)
    lines = ["text,label"]
    for number in range(120):
        words = random.integers(0, 20, random.integers(1, 31)) + 20 * (number % 2)
        lines.append(f"{' '.join(VOCABULARY[n] for n in words)},{CLASSES[number % 2]}")
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(lines))
    return path


def make_model(heeds_mask=True):
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    vectors = keras.layers.Embedding(
        42, 8, embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0)
    )(inputs["token_ids"])
    mask = keras.ops.expand_dims(keras.ops.cast(inputs["padding_mask"], "float32"), -1)
    if not heeds_mask:
        mask = keras.ops.ones_like(mask)
    total = keras.ops.sum(vectors * mask, axis=1)
    mean = total / keras.ops.maximum(keras.ops.sum(mask, axis=1), 1.0)
    backbone = keras.Model(inputs, mean, name="vectors")
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(backbone(inputs)))


def train(table, cache, *, heeds_mask=True, **options):
    keras.utils.set_random_seed(0)
    model = make_model(heeds_mask)
    data = kx.text_table(table, preprocessor=Words(VOCABULARY), batch_size=8)
    options = {"epochs": 3, "learning_rate": 0.05, "verbose": 1, **options}
    histories = kx.fine_tune(model, data.train, data.validation, cache=cache, **options)
    return model.get_weights(), histories[-1].history


def test_weights_are_the_same_with_and_without_features(table, capsys):
    expected, history = train(table, None)
    for told in ("ran once on 120 examples", "features of 120 examples are cached"):
        found, cached = train(table, "auto")
        assert told in capsys.readouterr().out
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
        for name, values in history.items():
            np.testing.assert_allclose(values, cached[name], atol=1e-5)
    assert history["val_loss"][-1] < 0.9 * history["val_loss"][0]


@pytest.mark.slow
def test_parts_of_a_strategy_may_have_their_own_batches(table, tmp_path):
    strategy = kx.Sequence([kx.Part(kx.FeatureExtraction(), batch_size=16), kx.FineTuning()])
    expected, _ = train(table, None, strategy=strategy)
    found, _ = train(table, kx.FeatureCache(tmp_path / "cache"), strategy=strategy)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_features_that_depend_on_padding_are_not_kept(table, tmp_path, capsys):
    cache = kx.FeatureCache(tmp_path / "cache")
    expected, _ = train(table, None, heeds_mask=False)
    found, _ = train(table, cache, heeds_mask=False)
    assert "do not depend on the padding of its batch" in capsys.readouterr().out
    assert not any(entry.num_bytes for entry in cache.entries())
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_text_more_is_the_only_one_computed(table, tmp_path, capsys):
    cache = kx.FeatureCache(tmp_path / "cache")
    train(table, cache)
    with table.open("a") as file:
        file.write("\nw0 w39 w3,calm\n")
    train(table, cache)
    assert "ran once on 1 examples, 120 were cached" in capsys.readouterr().out
