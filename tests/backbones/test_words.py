import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.backbones.words import Words, load_words

VOCABULARY = [
    "the",
    "The",
    "cat",
    "don't",
    "naïve",
    "3",
    "14",
    "!",
    "日本語",
    "हिन्दी",
    "😀",
    "café",
]


@pytest.fixture(scope="module")
def words():
    return Words(VOCABULARY)


def split(layer, text):
    pieces = [word.decode() for word in layer.split([text]).to_list()[0]]
    # In a graph, as in tf.data and when serving.
    dataset = tf.data.Dataset.from_tensors([text]).map(layer.split)
    assert [word.decode() for word in next(iter(dataset)).to_list()[0]] == pieces
    return pieces


def test_layer_runs_in_a_dataset(words):
    dataset = tf.data.Dataset.from_tensor_slices(["cat", "the cat", "!"]).batch(2).map(words)
    found = [batch["token_ids"].tolist() for batch in dataset.as_numpy_iterator()]
    assert found == [[[4, 0], [2, 4]], [[9]]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat,the\tcat.\nthe", ["The", "cat", "the", "cat", "the"]),
        ("don't 'quote' rock 'n' roll '' x'", ["don't", "quote", "rock", "n", "roll", "x"]),
        ("don\u2019t", ["don't"]),
        ("3.14 e-mail (a_b) x\u00a0y\u3000z", ["3", "14", "e", "mail", "a", "b", "x", "y", "z"]),
        ("Wait!? No!!", ["Wait", "!", "No", "!", "!"]),
        ("日本語 हिन्दी Ω²", ["日本語", "हिन्दी", "Ω²"]),
        ("cafe\u0301 \u0301", ["cafe\u0301"]),
        ("cat😀cat😁cat\U0001f44d\ufe0f", ["cat", "😀", "cat", "cat"]),
        (b"caf\xe9 \xff\xfecat\x00the", ["caf", "cat", "the"]),
        (b"\xf0\x9f\x98", []),
        ("", []),
        (" .,\n", []),
    ],
)
def test_words_are_split_at_white_space_and_punctuation(words, text, expected):
    assert split(words, text) == expected


def test_words_are_those_of_python_on_latin_text(words):
    import re

    text = "It was the best of times, it was the worst of times; 1859 (Dickens): «naïve» — don't!"
    expected = re.findall(r"\w+(?:'\w+)*|!", text)
    assert split(words, text) == expected


def test_exact_word_then_lower_case_then_unknown(words):
    ids = words.tokenize(["The the THE dog NAÏVE DON'T Cafe"]).to_list()
    assert ids == [[3, 2, 2, 1, 6, 5, 1]]


def test_lowercase_turns_all_text_into_lower_case():
    layer = Words(["the", "ä"], lowercase=True)
    assert layer.tokenize(["The THE Ä x"]).to_list() == [[2, 2, 3, 1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's don't CAN'T", ["It", "'s", "do", "n't", "CA", "N'T"]),
        (
            "we'll I'm they've you\u2019re he'd",
            ["we", "'ll", "I", "'m", "they", "'ve", "you", "'re", "he", "'d"],
        ),
        ("o'clock James' s", ["o'clock", "James", "s"]),
        # As in many data sets, split before.
        ("it 's 'so' do n't he 'LL", ["it", "'s", "so", "do", "n't", "he", "'LL"]),
    ],
)
def test_endings_are_words_where_the_vocabulary_has_them(text, expected):
    assert split(Words(["n't", "'s", "do"]), text) == expected


def test_short_texts_are_padded_to_the_longest(words):
    tokens = words(["the cat", "", "cat ? dog the"])
    assert tokens["token_ids"].numpy().tolist() == [[2, 4, 0], [0, 0, 0], [4, 1, 2]]
    assert tokens["padding_mask"].numpy().tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    assert tokens["token_ids"].dtype == tokens["padding_mask"].dtype == tf.int32


def test_long_texts_are_cut():
    tokens = Words(VOCABULARY, sequence_length=2)(["the cat the", "cat"])
    assert tokens["token_ids"].numpy().tolist() == [[2, 4], [4, 0]]
    assert tokens["padding_mask"].numpy().tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize("texts", [[""], ["", " ?"], np.array(["."])])
def test_texts_without_words_have_one_column_of_padding(words, texts):
    tokens = words(texts)
    assert tokens["token_ids"].numpy().tolist() == [[0]] * len(texts)
    assert tokens["padding_mask"].numpy().tolist() == [[0]] * len(texts)


def test_no_texts_at_all(words):
    tokens = words(tf.zeros([0], tf.string))
    assert tokens["token_ids"].shape == tokens["padding_mask"].shape == (0, 1)


def test_texts_of_another_rank_are_refused(words):
    with pytest.raises(ValueError, match="Received: shape=\\(2, 1\\)"):
        words([["the"], ["cat"]])


def test_lists_arrays_and_tensors_are_taken(words):
    for texts in (["cat é"], ("cat é",), np.array(["cat é"]), np.array(["cat é"], object)):
        assert words(texts)["token_ids"].numpy().tolist() == [[4, 1]]


def test_symbolic_shapes_and_predict_of_a_functional_model(words, tmp_path):
    texts = keras.Input((), dtype="string", name="texts")
    outputs = words(texts)
    assert {key: (x.shape, x.dtype) for key, x in outputs.items()} == {
        "token_ids": ((None, None), "int32"),
        "padding_mask": ((None, None), "int32"),
    }
    model = keras.Model(texts, outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        found = each.predict(tf.constant(["The cat", "!"]), verbose=0)
        assert found["token_ids"].tolist() == [[3, 4], [9, 0]]


def test_config_gives_the_same_layer():
    layer = Words(VOCABULARY, sequence_length=7, lowercase=True, name="mine")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == layer.get_config()
    assert copy.get_config()["vocabulary"] == VOCABULARY
    assert copy(["THE cat"])["token_ids"].numpy().tolist() == [[2, 4]]


def test_mixed_precision_and_frozen_flags_change_nothing():
    keras.config.set_dtype_policy("mixed_float16")
    layer = Words(VOCABULARY)
    layer.trainable = True
    assert layer(["cat"])["token_ids"].dtype == tf.int32
    assert layer.weights == []


_SERVE = """
import json, sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
found = loaded.signatures["serving_default"](texts=tf.constant(["The don't cat 日本語 ?!", ""]))
assert "keras_transfer" not in sys.modules
print(json.dumps({key: value.numpy().tolist() for key, value in found.items()}))
"""


def test_exported_layer_works_in_a_clean_process(words, tmp_path):
    module = tf.Module()
    module.words = words
    module.serve = tf.function(
        lambda texts: words(texts), input_signature=[tf.TensorSpec([None], tf.string, "texts")]
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    done = subprocess.run(
        [sys.executable, "-c", _SERVE, tmp_path], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "token_ids": [[3, 5, 4, 10, 9], [0] * 5],
        "padding_mask": [[1] * 5, [0] * 5],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary": []}, "0 words"),
        ({"vocabulary": ["a", "b", "a"]}, "3 words, 2 of them different"),
        ({"vocabulary": "word"}, "vocabulary=word"),
        ({"vocabulary": ["a", ""]}, "vocabulary="),
        ({"vocabulary": ["a", b"b"]}, "vocabulary="),
        ({"vocabulary": ["a"], "sequence_length": 0}, "sequence_length=0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"Received: .*{message}"):
        Words(**arguments)


@pytest.mark.parametrize(("word", "lowercase"), [("Cat", False), ("cat", True), ("Ärger", False)])
def test_loaded_words_are_lower_case_where_the_file_is(tmp_path, word, lowercase):
    path = tmp_path / "vectors.txt"
    path.write_text(f"the 1 2\n{word} 3 4\nsat 5 6\n")
    layer = load_words(path, sequence_length=3)
    assert layer.lowercase is lowercase
    assert layer.vocabulary == ("the", word, "sat")
    assert layer.sequence_length == 3
    assert layer([f"THE {word} Sat down"])["token_ids"].numpy().tolist() == [[2, 3, 4]]


def test_loaded_words_of_a_vocabulary(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("the 1 2\ncat 3 4\nsat 5 6\n")
    assert load_words(path, vocabulary=2).vocabulary == ("the", "cat")
    assert load_words(path, vocabulary=["sat", "mat", "the"]).vocabulary == ("the", "sat")


@pytest.mark.slow
def test_capital_i_is_lowered_in_turkish_locales():
    code = (
        "import keras_transfer as kx; print(int(kx.Words(['i'])(['I'])['token_ids'].numpy()[0, 0]))"
    )
    environment = {**os.environ, "LC_ALL": "tr_TR.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split()[-1] == "2"
