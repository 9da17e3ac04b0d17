"""TF Hub modules as TensorFlow saves them; texts, and ids as Hugging Face gives them."""

from __future__ import annotations

import csv
import gzip
import json
import pathlib

import keras
import pytest
import tensorflow as tf

import keras_transfer

SAMPLES = pathlib.Path(keras_transfer.__file__).parent / "data" / "samples"
HARD_TEXTS = [
    "",
    "   ",
    "x",
    " x",
    "x ",
    "a" * 100,
    "a" * 101,
    "é" * 100,
    "é" * 101,
    "あ" * 60 + " " + "あ" * 101,
    "😀 👩‍👩‍👧👍🏽 ❤️",
    "שלום עולם, مرحبا بالعالم",
    "ΑΣ Σ ΟΔΟΣ",
    "İstanbul IĞDIR ß ẞ ǅ ŉ",
    "e\u0301 \u0344 \u0300a Ame\u0301lie Amélie",
    "ﬁne ½ ＡＢ ²³ 1\u20442",
    "a\0b \0",
    "日本語テキスト 中文,也是。",
    "x\x85y\xa0z\u2028w \u3000\u3000v \xa0x a\xa0 b",
    "don't  's   'tis\n's we'll've I'M they'RE",
    "a  b   c \n\n d\t\te \r\n f  ",
    "\n\nx\n x \n",
    "=" * 25 + " ..... !?!?",
    "12345 1.5 a1b2",
    "aaaa aaaaaaa",
    "\x1c\x1d x \u200b\u200bx \u180ex \ufeff",
    "[CLS] [SEP] [MASK] <s> </s> <|endoftext|> <mask>",
    "\ufffd \ue000 \U0010ffff",
]


def _save_module(network: keras.Model, folder: pathlib.Path, *, strength: float = 0.01) -> str:
    """A reusable SavedModel of TensorFlow 2, with a loss on its first kernel."""
    module = tf.train.Checkpoint()

    @tf.function
    def call(inputs, training=False):
        return network(inputs, training=training)

    spec = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype, x.name), network.input)
    for training in (False, True):
        call.get_concrete_function(spec, training=training)
    kernel = network.trainable_variables[0].value
    module.__call__ = call
    module.variables = [variable.value for variable in network.variables]
    module.trainable_variables = [variable.value for variable in network.trainable_variables]
    module.regularization_losses = [
        tf.function(lambda: strength * tf.reduce_sum(kernel**2), input_signature=[])
    ]
    tf.saved_model.save(module, str(folder))
    return str(folder)


@pytest.fixture
def save_module():
    """Saves a network as a reusable SavedModel of TensorFlow 2, and returns its folder."""
    return _save_module


@pytest.fixture
def network() -> keras.Model:
    """What the module is made of: pixels from 0 to 1 to four features."""
    pixels = keras.Input((32, 32, 3), name="inputs")
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(pixels)
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(x))
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(x))


@pytest.fixture
def module(network: keras.Model, tmp_path: pathlib.Path) -> str:
    """The folder of a module of TensorFlow 2."""
    return _save_module(network, tmp_path / "module")


@pytest.fixture
def tf1_module(tmp_path: pathlib.Path) -> str:
    """The folder of a module of TensorFlow 1: `2 * inputs + 1` with a variable."""
    v1 = tf.compat.v1
    folder = tmp_path / "tf1"
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder(tf.float32, [None, 3], "inputs")
        weight = v1.get_variable("weight", initializer=2.0, use_resource=True)
        outputs = tf.add(inputs * weight, 1.0, "outputs")
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"x": inputs}, {"default": outputs})
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return str(folder)


@pytest.fixture(scope="session")
def review_texts() -> list[str]:
    with gzip.open(SAMPLES / "review_domains.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


@pytest.fixture(scope="session")
def hard_texts() -> list[str]:
    return HARD_TEXTS


@pytest.fixture(scope="session")
def ids_of():
    """The ids that a preprocessor gives each text, without padding."""

    def ids(preprocessor, texts):
        given = preprocessor([text.encode() for text in texts])
        rows = zip(given["token_ids"].numpy(), given["padding_mask"].numpy(), strict=True)
        return [row[mask == 1].tolist() for row, mask in rows]

    return ids


@pytest.fixture(scope="session")
def expected_ids():
    """The ids that a tokenizer of transformers gives each text."""

    def ids(tokenizer, texts, **options):
        return tokenizer(texts, split_special_tokens=True, **options)["input_ids"]

    return ids


@pytest.fixture(scope="session")
def byte_pair_folders(review_texts, tmp_path_factory) -> dict[str, pathlib.Path]:
    """A checkpoint's folder without weights for GPT-2 and one for RoBERTa, of 6,000 tokens."""
    transformers = pytest.importorskip("transformers")
    import tokenizers

    kinds = {
        "gpt2": (transformers.GPT2TokenizerFast, ["<|endoftext|>"]),
        "roberta": (
            transformers.RobertaTokenizerFast,
            ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        ),
    }
    folders = {}
    for kind, (fast, special) in kinds.items():
        folder = tmp_path_factory.mktemp(kind)
        byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trained = tokenizers.Tokenizer(tokenizers.models.BPE())
        trained.pre_tokenizer = byte_level
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=6000,
            special_tokens=special,
            initial_alphabet=byte_level.alphabet(),
            show_progress=False,
        )
        trained.train_from_iterator(review_texts, trainer)
        trained.model.save(str(folder))
        files = {"vocab": str(folder / "vocab.json"), "merges": str(folder / "merges.txt")}
        fast(**files).save_pretrained(folder)
        config = {"model_type": kind, "vocab_size": 6000, "bos_token_id": 0, "eos_token_id": 0}
        if kind == "roberta":
            config |= {"max_position_embeddings": 130, "type_vocab_size": 1}
        (folder / "config.json").write_text(json.dumps(config))
        folders[kind] = folder
    return folders


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "caf", "##e", "!", "a"]


@pytest.fixture
def write_checkpoint(tmp_path):
    """Writes a checkpoint's folder without weights."""

    def write(words=WORDS, config=None, **files):
        if words is not None:
            (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
        config = {"model_type": "bert", "vocab_size": len(words or [])} | (config or {})
        (tmp_path / "config.json").write_text(json.dumps(config))
        for name, text in files.items():
            (tmp_path / f"{name}.json").write_text(text)
        return tmp_path

    return write
