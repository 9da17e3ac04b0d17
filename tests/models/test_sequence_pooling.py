import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.models.sequence_pooling import pool_sequence

MASK = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], "int32")


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32") - 3  # all negative


def pooled(pooling, features, mask=MASK, dtype="float32"):
    given = keras.Input(features.shape[1:], dtype=dtype)
    held = keras.Input(mask.shape[1:], dtype="int32")
    outputs = pool_sequence(given, held, pooling)
    if pooling == "cls":  # which does not look at the mask
        return keras.Model(given, outputs)(features.astype(dtype)).numpy()
    return keras.Model([given, held], outputs)([features.astype(dtype), mask]).numpy()


def expected(pooling, features):
    rows = [row[: mask.sum()].astype("float64") for row, mask in zip(features, MASK, strict=True)]
    whole = {
        "mean": [row.sum(0) / max(1, len(row)) for row in rows],
        "max": [row.max(0) if len(row) else np.zeros(5) for row in rows],
        "cls": list(features[:, 0]),
    }
    whole["avg"] = whole["attention"] = whole["mean"]  # attention begins with even shares
    whole["avgmax"] = [np.concatenate(x) for x in zip(whole["mean"], whole["max"], strict=True)]
    return np.stack(whole[pooling])


@pytest.mark.parametrize("pooling", ["avg", "mean", "max", "avgmax", "cls", "attention"])
def test_padding_does_not_count(features, pooling):
    np.testing.assert_allclose(pooled(pooling, features), expected(pooling, features), atol=1e-6)
    other = np.where(MASK[..., None] == 1, features, 100.0).astype("float32")
    if pooling != "cls":
        np.testing.assert_allclose(pooled(pooling, other), expected(pooling, features), atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_half_precision_gives_finite_numbers(features, pooling):
    keras.config.set_dtype_policy("mixed_float16")
    found = pooled(pooling, features, dtype="float16")
    np.testing.assert_allclose(found, expected(pooling, features), atol=1e-2)


def test_without_a_mask_all_tokens_count(features):
    given = keras.Input((4, 5))
    model = keras.Model(given, pool_sequence(given, None, "mean"))
    np.testing.assert_allclose(model(features), features.mean(1), atol=1e-6)


@pytest.mark.slow
def test_attention_learns_which_token_counts():
    random = np.random.default_rng(0)
    x = random.normal(size=(256, 6, 4)).astype("float32")
    marked = random.integers(0, 6, 256)
    x[..., 0] = 0
    x[np.arange(256), marked, 0] = 3.0
    y = (x[np.arange(256), marked, 1] > 0).astype(int)
    tokens = keras.Input((6, 4))
    backbone = keras.Model(tokens, keras.layers.Activation("linear")(tokens))
    scores = {}
    for pooling in ("mean", "attention"):
        keras.utils.set_random_seed(0)
        model = kx.Classifier(backbone, 2, pooling=pooling)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"])
        scores[pooling] = model.fit(x, y, epochs=40, verbose=0).history["accuracy"][-1]
    assert scores["attention"] > 0.95 > scores["mean"]


def test_unknown_pooling_is_refused(features):
    with pytest.raises(ValueError, match="'attention'.*Received: pooling='median'"):
        pooled("median", features)


def test_pooling_of_sequences_is_refused_for_pictures(tiny_backbone):
    with pytest.raises(ValueError, match="others are for sequences. Received: pooling='cls'"):
        kx.Classifier(tiny_backbone, 2, pooling="cls")


def test_classifier_on_tokens_is_saved_in_keras_s_own_layers(tmp_path):
    ids = keras.Input([None], dtype="int32", name="token_ids")
    mask = keras.Input([None], dtype="int32", name="padding_mask")
    vectors = keras.layers.Embedding(9, 4)(ids)
    vectors = keras.layers.Multiply()([vectors, keras.layers.Reshape((-1, 1))(mask)])
    backbone = keras.Model({"token_ids": ids, "padding_mask": mask}, vectors, name="embedding")
    given = {"token_ids": np.array([[1, 2, 0]]), "padding_mask": np.array([[1, 1, 0]])}
    for pooling in ("mean", "max", "avgmax", "cls", "attention"):
        model = kx.Classifier(backbone, ["bad", "good"], pooling=pooling, hidden=[3])
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(loaded(given), model(given), atol=1e-6)
        assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)
