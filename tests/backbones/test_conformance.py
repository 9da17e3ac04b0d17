"""What every backbone does, whatever it was loaded from; a new loader is one row of LOADERS."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

SIZE = (32, 32)
TEXTS = ["a good film", "bad", "good good a film", "a bad film", "film", "bad bad a", "good", "a"]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film"]


@dataclasses.dataclass
class Case:
    """A backbone's handle, and data that it takes."""

    handle: str
    options: dict = dataclasses.field(default_factory=dict)
    preprocessor: keras.layers.Layer | None = None

    def backbone(self):
        keras.utils.set_random_seed(1)
        return kx.load_backbone(self.handle, **self.options)

    def model(self):
        keras.utils.set_random_seed(1)
        model = kx.Classifier(self.backbone(), ["no", "yes"])
        kernel = model.layers[-1].kernel
        kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
        return model

    def inputs(self):
        if self.preprocessor is not None:
            return self.preprocessor(TEXTS)
        return np.random.default_rng(0).integers(0, 256, (8, *SIZE, 3)).astype("uint8")

    def data(self):
        return tf.data.Dataset.from_tensor_slices((self.inputs(), np.arange(8) % 2)).batch(4)


def of_pictures(handle, weights):
    return lambda folder: Case(handle, {"input_shape": (*SIZE, 3), "weights": weights})


def of_module(folder):
    pixels = keras.Input((*SIZE, 3), name="inputs")
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(pixels)
    network = keras.Model(pixels, keras.layers.BatchNormalization()(x))
    module = tf.train.Checkpoint()
    module.__call__ = tf.function(lambda inputs, training=False: network(inputs, training=training))
    for training in (False, True):
        spec = tf.TensorSpec([None, *SIZE, 3], name="inputs")
        module.__call__.get_concrete_function(spec, training=training)
    module.variables = [variable.value for variable in network.variables]
    module.trainable_variables = [variable.value for variable in network.trainable_variables]
    tf.saved_model.save(module, str(folder))
    return Case(f"tfhub://{folder}")


def of_picture_preset(folder):
    keras_hub = pytest.importorskip("keras_hub")
    network = keras_hub.models.ResNetBackbone(
        [64], [7], [64, 64], [1, 1], [1, 2], "basic_block", image_shape=(None, None, 3)
    )
    network.save_to_preset(folder)
    return Case(f"keras_hub://{folder}", {"value_range": (0, 1), "input_shape": (*SIZE, 3)})


def word_piece(**options):
    pytest.importorskip("tensorflow_text")
    return kx.WordPiece(TOKENS, sequence_length=16, **options)


def of_text_preset(folder):
    keras_hub = pytest.importorskip("keras_hub")
    network = keras_hub.models.DistilBertBackbone(len(TOKENS), 2, 2, 8, 16, max_sequence_length=16)
    network.save_to_preset(folder)
    return Case(f"keras_hub://{folder}", preprocessor=word_piece(segment_ids=False))


def of_checkpoint(folder):
    pytest.importorskip("keras_hub")
    config = {
        "model_type": "bert",
        "vocab_size": len(TOKENS),
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 16,
    }
    (folder / "config.json").write_text(json.dumps(config))
    preprocessor = word_piece(segment_ids=True)
    return Case(f"hf://{folder}", {"weights": None}, preprocessor)


def of_word_vectors(folder):
    lines = [f"{word} {number} {number % 2} 1" for number, word in enumerate(TOKENS[5:])]
    (folder / "words.txt").write_text("\n".join(lines) + "\n")
    handle = f"word_vectors://{folder / 'words.txt'}"
    return Case(handle, preprocessor=kx.load_preprocessor(handle))


LOADERS = {
    "efficientnet_lite0": of_pictures("efficientnet_lite0", "pretrained"),
    # One whose features do not fade away with random weights.
    "applications": of_pictures("applications://ResNet50V2", None),
    "tfhub": of_module,
    "keras_hub, pictures": of_picture_preset,
    "keras_hub, texts": of_text_preset,
    "hf": of_checkpoint,
    "word_vectors": of_word_vectors,
}


@pytest.fixture(
    params=[
        # Large; test_applications.py has more of it.
        pytest.param(name, marks=pytest.mark.slow if name == "applications" else [])
        for name in LOADERS
    ]
)
def case(request, tmp_path):
    (tmp_path / "backbone").mkdir()
    return LOADERS[request.param](tmp_path / "backbone")


def fit(model, data):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=False)
    model.fit(data, epochs=1, shuffle=False, verbose=0)


def weights_of(layer):
    return [weight.numpy() for weight in layer.weights]


def same(one, other):
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def test_backbone_is_a_plain_functional_model(case):
    backbone = case.backbone()
    assert type(backbone).__module__.startswith("keras.src.")
    assert backbone.output.shape[-1] is not None
    assert backbone(case.inputs()).shape[0] == 8


def test_blocks_hold_every_weight_once(case):
    backbone = case.backbone()
    found = [id(weight) for block in kx.split_into_blocks(backbone) for weight in block.weights]
    assert sorted(found) == sorted(id(weight) for weight in backbone.weights)


def test_frozen_backbone_stays_bit_for_bit(case):
    model = case.model()
    kx.FeatureExtraction().apply(model)
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    before, head = weights_of(inner), weights_of(model.layers[-1])
    fit(model, case.data())
    assert all(same(before, weights_of(inner)))
    assert not any(same(head, weights_of(model.layers[-1])))


def test_fine_tuning_moves_the_last_block_alone(case):
    model = case.model()
    kx.FineTuning(blocks=1).apply(model)
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    *rest, last = kx.split_into_blocks(inner)
    before = [weights_of(block) for block in (*rest, last)]
    fit(model, case.data())
    *unmoved, moved = [
        same(old, weights_of(block)) for old, block in zip(before, (*rest, last), strict=True)
    ]
    assert all(map(all, unmoved))
    assert not all(moved)


def test_cached_training_gives_the_same_weights(case, tmp_path, capsys):
    models = []
    for cache in (kx.FeatureCache(tmp_path / "cache"), None):
        model = case.model()
        keras.utils.set_random_seed(2)
        kx.fine_tune(model, case.data(), epochs=2, strategy=kx.FeatureExtraction(), cache=cache)
        models.append(model)
    assert "ran once on 8" in capsys.readouterr().out
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_saved_model_gives_the_same(case, tmp_path):
    model = case.model()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(case.inputs()), model(case.inputs()), atol=1e-5)


@pytest.mark.slow
def test_exported_version_answers_as_keras_does(case, tmp_path):
    options = {"resize": "stretch"} if case.preprocessor is None else {}
    # Which compares the version's answers with Keras's before it lets it be seen.
    version = kx.export(
        case.model(), tmp_path / "models", preprocessor=case.preprocessor, **options
    )
    assert (version / "saved_model.pb").is_file()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_gives_float32_logits_close_by(case, policy):
    expected = case.model()(case.inputs()).numpy()
    keras.config.set_dtype_policy(policy)
    given = case.model()(case.inputs())
    assert given.dtype == "float32"
    apart = np.abs(given - expected).max() / np.abs(expected).max()
    assert apart < (0.01 if policy == "mixed_float16" else 0.1)


REPLICAS = """
import pathlib, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
import numpy as np
import test_conformance as t
case = t.LOADERS[sys.argv[2]](pathlib.Path(sys.argv[3]))
found = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        model = case.model()
        t.kx.FineTuning().apply(model)
        t.fit(model, case.data())
    found.append(model.get_weights())
print(max(np.abs(a - b).max() for a, b in zip(*found)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("loader", LOADERS)
def test_two_replicas_train_as_one_does(loader, tmp_path):
    here = str(pathlib.Path(__file__).parent)
    command = [sys.executable, "-c", REPLICAS, here, loader, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < 1e-4
