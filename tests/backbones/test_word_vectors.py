import gzip

import keras
import numpy as np
import pytest

from keras_transfer.backbones import word_vectors
from keras_transfer.backbones.words import load_words

WORDS = ["the", "cat", "sat", "on", "mat"]
VECTORS = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


@pytest.fixture(params=["GloVe", "text", "binary", "packed"])
def path(request, tmp_path):
    rows = [f"{w} {' '.join(map(str, v))}\n" for w, v in zip(WORDS, VECTORS.tolist(), strict=True)]
    binary = b"5 4\n" + b"".join(
        w.encode() + b" " + v.tobytes() + b"\n" for w, v in zip(WORDS, VECTORS, strict=True)
    )
    data = {
        "GloVe": "".join(rows).encode(),
        "text": ("5 4\n" + "".join(rows)).encode(),
        "binary": binary,
        "packed": gzip.compress(binary),
    }
    path = tmp_path / "my vectors.2.bin"
    path.write_bytes(data[request.param])
    return path


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2\ncat 3 -4\nsat 5 8\n")
    return path


def inputs(ids):
    ids = np.array(ids, "int32")
    return {"token_ids": ids, "padding_mask": (ids > 0).astype("int32")}


def test_ids_give_the_vectors_of_the_file(path):
    model = word_vectors.load(str(path), None, "pretrained")
    found = model(inputs([[2, 6, 1], [4, 0, 0]])).numpy()
    mean = VECTORS.astype("float64").mean(0)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0, :2], VECTORS[[0, 4]])
    np.testing.assert_allclose(found[0, 2], mean, rtol=1e-6)
    np.testing.assert_array_equal(found[1], [VECTORS[2], np.zeros(4), np.zeros(4)])


def test_words_of_the_file_get_the_ids_of_its_vectors(path):
    model = word_vectors.load(str(path), None, "pretrained", vocabulary=["mat", "cat", "dog"])
    words = load_words(path, vocabulary=["mat", "cat", "dog"])
    found = model(words(["the Cat", "mat"])).numpy()
    taken = VECTORS[[1, 4]]
    np.testing.assert_allclose(found[0], [taken.mean(0), taken[0]], rtol=1e-6)
    np.testing.assert_array_equal(found[1], [taken[1], np.zeros(4)])


def test_the_first_words(path):
    model = word_vectors.load(str(path), None, "pretrained", vocabulary=2)
    table = model.get_layer("word_vectors").get_weights()[0]
    np.testing.assert_array_equal(table[2:], VECTORS[:2])


def test_shapes_and_names(glove):
    model = word_vectors.load(str(glove), None, "pretrained")
    assert model.output_shape == (None, None, 2)
    assert {key: (x.shape, x.dtype) for key, x in model.input.items()} == {
        "token_ids": ((None, None), "int32"),
        "padding_mask": ((None, None), "int32"),
    }
    assert word_vectors.load(str(glove), (7,), "pretrained").output_shape == (None, 7, 2)
    assert model.name == "word_vectors_glove"
    assert model.count_params() == 5 * 2
    assert word_vectors.describe() == []


def test_random_vectors_have_the_same_size(glove):
    model = word_vectors.load(str(glove), None, None)
    table = model.get_layer("word_vectors").get_weights()[0]
    assert table.shape == (5, 2)
    assert np.abs(table).max() < 1
    assert not model(inputs([[0, 0]])).numpy().any()


@pytest.mark.parametrize("weights", ["imagenet", "weights.h5", 3])
def test_other_weights_are_refused(glove, weights):
    with pytest.raises(ValueError, match="Received: weights="):
        word_vectors.load(str(glove), None, weights)


@pytest.mark.parametrize("input_shape", [(), (32, 32, 3)])
def test_other_input_shapes_are_refused(glove, input_shape):
    with pytest.raises(ValueError, match="Received: input_shape="):
        word_vectors.load(str(glove), input_shape, "pretrained")


def test_bad_files_and_vocabularies_are_refused(tmp_path, glove):
    with pytest.raises(FileNotFoundError, match="absent"):
        word_vectors.load(str(tmp_path / "absent"), None, "pretrained")
    with pytest.raises(ValueError, match="Received: vocabulary=0"):
        word_vectors.load(str(glove), None, "pretrained", vocabulary=0)


def test_saved_model_needs_no_file(glove, tmp_path):
    model = word_vectors.load(str(glove), None, "pretrained")
    model.save(tmp_path / "model.keras")
    glove.unlink()
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs([[2, 3, 1, 0]])), model(inputs([[2, 3, 1, 0]])))
    # Keras's own layers only: it loads without this package.
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)


def classifier(backbone):
    ids = {name: keras.Input((None,), name=name, dtype="int32") for name in backbone.input}
    x = keras.layers.GlobalAveragePooling1D()(backbone(ids))
    model = keras.Model(ids, keras.layers.Dense(1)(x))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


@pytest.mark.parametrize("trainable", [True, False])
def test_training_moves_the_vectors_unless_frozen_and_never_padding(glove, trainable):
    backbone = word_vectors.load(str(glove), None, "pretrained")
    backbone.trainable = trainable
    before = backbone.get_weights()[0]
    data = inputs([[2, 3, 0], [1, 2, 4], [4, 0, 0]])
    classifier(backbone).fit(data, np.array([0.0, 5.0, 9.0]), epochs=2, verbose=0)
    after = backbone.get_weights()[0]
    assert (after[1:] != before[1:]).all() if trainable else after.tobytes() == before.tobytes()
    np.testing.assert_array_equal(after[0], [0, 0])


def test_mixed_precision_keeps_the_table_in_float32(glove):
    keras.config.set_dtype_policy("mixed_float16")
    backbone = word_vectors.load(str(glove), None, "pretrained")
    assert backbone.get_layer("word_vectors").embeddings.dtype == "float32"
    found = backbone(inputs([[3, 0]]))
    assert found.dtype == "float16"
    np.testing.assert_array_equal(found, [[[3, -4], [0, 0]]])
