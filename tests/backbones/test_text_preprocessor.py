import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

LETTERS = kx.BytePair.byte_letters()
TEXTS = ["low low", "", "  ", "lower\n", "é 😀 שלום"]


@pytest.fixture
def byte_pair():
    vocabulary = [*LETTERS, "<s>", "</s>", "<pad>", "lo", "low", "Ġlow"]
    return kx.BytePair(
        vocabulary,
        ["l o", "lo w", "Ġ low"],
        sequence_length=12,
        start_tokens=["<s>"],
        end_tokens=["</s>"],
        pad_token="<pad>",
    )


@pytest.fixture
def plain():
    """No special tokens at all, as with GPT-2."""
    return kx.BytePair([*LETTERS, "lo"], ["l o"], sequence_length=4)


def as_lists(features):
    return {name: np.array(values).tolist() for name, values in features.items()}


def test_batch_is_padded_to_its_longest_text(byte_pair):
    ids = as_lists(byte_pair(["low low", "", "a"]))
    assert ids["token_ids"] == [[256, 260, 261, 257], [256, 257, 258, 258], [256, 97, 257, 258]]
    assert ids["padding_mask"] == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]


def test_long_text_is_cut_before_the_end_token(byte_pair):
    ids = byte_pair(["low" + " low" * 50])["token_ids"].numpy()
    assert ids.tolist() == [[256, 260, *[261] * 9, 257]]


def test_segment_ids_are_there_where_asked_for(byte_pair):
    config = {**byte_pair.get_config(), "segment_ids": True}
    features = as_lists(kx.BytePair.from_config(config)(["a", "bc"]))
    assert features["segment_ids"] == [[0] * 4] * 2
    assert list(features) == ["token_ids", "padding_mask", "segment_ids"]
    assert "segment_ids" not in byte_pair(["a"])


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        tf.constant(TEXTS),
        [text.encode() for text in TEXTS],
    ],
    ids=["list", "unicode array", "object array", "tensor", "bytes"],
)
def test_texts_come_in_any_form(byte_pair, texts):
    expected = as_lists(byte_pair(tf.constant(TEXTS)))
    assert as_lists(byte_pair(texts)) == expected


def test_dataset_function_and_eager_call_give_the_same(byte_pair):
    expected = as_lists(byte_pair(TEXTS))
    dataset = tf.data.Dataset.from_tensors(TEXTS).map(byte_pair)
    assert as_lists(next(iter(dataset))) == expected
    assert dataset.element_spec["token_ids"] == tf.TensorSpec([None, None], tf.int32)
    function = tf.function(byte_pair, input_signature=[tf.TensorSpec([None], tf.string)])
    assert as_lists(function(tf.constant(TEXTS))) == expected


@pytest.mark.parametrize("texts", [[""], ["", ""]])
def test_empty_texts_without_special_tokens_are_one_place_of_padding(plain, texts):
    features = as_lists(plain(texts))
    assert features == {name: [[0]] * len(texts) for name in ("token_ids", "padding_mask")}


def test_batch_without_texts_is_empty(byte_pair):
    assert byte_pair(tf.constant([], tf.string))["token_ids"].shape == (0, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"a\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98 x",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\x80\x80 b",
        b"\xf4\x90\x80\x80",
    ],
)
def test_invalid_utf8_is_replaced_as_python_does(byte_pair, data):
    expected = byte_pair([data.decode(errors="replace")])
    assert as_lists(byte_pair([data])) == as_lists(expected)


def test_a_hundred_thousand_characters_are_cut(byte_pair):
    assert byte_pair(["word " * 20_000])["token_ids"].shape == (1, 12)
    assert byte_pair(["x" * 100_000])["token_ids"].shape == (1, 12)


def test_counts_are_lengths_after_cutting(byte_pair):
    lengths = as_lists(byte_pair([*TEXTS, "x" * 99]))["padding_mask"]
    counts = byte_pair.count_tokens([*TEXTS, "x" * 99])
    assert counts.numpy().tolist() == [sum(row) for row in lengths]
    assert int(byte_pair.count_tokens("low")) == 3
    assert byte_pair.count_tokens([["low"], ["é"]]).numpy().tolist() == [[3], [4]]


def test_batches_of_like_length_come_from_counts(byte_pair):
    texts = tf.data.Dataset.from_tensor_slices(["low", "x" * 9, "lo", "y" * 8])
    batches = texts.bucket_by_sequence_length(byte_pair.count_tokens, [5], [2, 2]).map(byte_pair)
    assert sorted(batch["token_ids"].shape[1] for batch in batches) == [3, 11]


def test_config_makes_the_same_layer(byte_pair):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(byte_pair)))
    assert config["registered_name"] == "keras_transfer>BytePair"
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == byte_pair.get_config()
    assert as_lists(again(TEXTS)) == as_lists(byte_pair(TEXTS))


def test_functional_model_takes_strings_and_is_saved(byte_pair, tmp_path):
    texts = keras.Input((), dtype="string")
    x = keras.layers.Embedding(262, 3)(byte_pair(texts)["token_ids"])
    model = keras.Model(texts, keras.layers.GlobalAveragePooling1D()(x))
    model.compile("sgd", "mse")
    model.fit(tf.constant(TEXTS), np.zeros([5, 3]), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    data = tf.constant(TEXTS)
    np.testing.assert_allclose(again.predict(data, verbose=0), model.predict(data, verbose=0))


LOAD = """
import json, sys
import tensorflow as tf
if sys.argv[2] == "WordPiece":
    import tensorflow_text
texts = tf.constant([bytes.fromhex(text) for text in json.loads(sys.argv[3])])
for way in ("archive", "module"):
    signature = tf.saved_model.load(f"{sys.argv[1]}/{way}").signatures["serving_default"]
    print(json.dumps({name: ids.numpy().tolist() for name, ids in signature(texts).items()}))
print(any(name.startswith(("keras_transfer", "transformers")) for name in sys.modules))
"""


@pytest.mark.parametrize("kind", [pytest.param("BytePair", marks=pytest.mark.slow), "WordPiece"])
def test_exported_preprocessor_gives_the_same_in_a_clean_process(byte_pair, kind, tmp_path):
    preprocessor = byte_pair
    if kind == "WordPiece":
        pytest.importorskip("tensorflow_text")
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "low", "##er", "e"]
        preprocessor = kx.WordPiece(words, sequence_length=9)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(texts):
        return preprocessor(texts)

    archive = keras.export.ExportArchive()
    archive.track(preprocessor)
    archive.add_endpoint("serving_default", serve)
    archive.write_out(str(tmp_path / "archive"), verbose=False)
    module = tf.Module()
    module.preprocessor, module.serve = preprocessor, serve
    tf.saved_model.save(module, str(tmp_path / "module"), signatures=serve)

    texts = [*(text.encode() for text in TEXTS), b"lower \xff"]
    hexadecimal = json.dumps([text.hex() for text in texts])
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path), kind, hexadecimal],
        capture_output=True,
        text=True,
        check=True,
    )
    archive_ids, module_ids, ours = done.stdout.splitlines()
    assert json.loads(archive_ids) == json.loads(module_ids) == as_lists(preprocessor(texts))
    assert ours == "False"


def test_vocabulary_with_a_token_twice_is_refused():
    with pytest.raises(ValueError, match=r"every token once. Received: 258 .*\['lo'\]"):
        kx.BytePair([*LETTERS, "lo", "lo"], ["l o"])


@pytest.mark.parametrize("argument", ["start_tokens", "end_tokens", "pad_token"])
def test_missing_special_token_is_refused(argument):
    token = "<x>" if argument == "pad_token" else ["<x>"]
    with pytest.raises(ValueError, match=r"special tokens .*Received: .*without \['<x>'\]"):
        kx.BytePair([*LETTERS, "lo"], ["l o"], **{argument: token})


def test_no_room_between_special_tokens_is_refused():
    vocabulary = [*LETTERS, "<s>", "lo"]
    with pytest.raises(ValueError, match="room for a token.*Received: sequence_length=2"):
        kx.BytePair(vocabulary, ["l o"], 2, start_tokens=["<s>"], end_tokens=["<s>"])


@pytest.mark.parametrize("texts", ["one text", [["a"], ["b"]]])
def test_shape_that_is_no_batch_is_refused(byte_pair, texts):
    with pytest.raises(ValueError, match=r"of shape \(batch,\). Received: shape"):
        byte_pair(tf.constant(texts))


def test_subclass_without_tokenize_is_refused():
    with pytest.raises(NotImplementedError, match="lacks `tokenize`"):
        kx.TextPreprocessor(["a"])(["a"])
