import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.serving.local import LocalModel

# Each picture in its own color, so that their averages differ.
PIXELS = np.eye(3)[:, None, None] * np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
PIXELS = PIXELS.astype("float32")
FUSIONS = ["concat", "pool", "attention"]


@pytest.fixture
def depths(tiny_backbone):
    return [block.name for block in kx.split_into_blocks(tiny_backbone)]


@pytest.fixture
def other():
    pixels = keras.Input((32, 32, 3))
    return keras.Model(pixels, keras.layers.Conv2D(5, 3, 4, name="only")(pixels), name="other")


def normalized(vectors):
    """Zero mean and unit variance in each row, with Keras's epsilon."""
    vectors = vectors.astype("float64")
    deviation = np.sqrt(vectors.var(axis=1, keepdims=True) + 1e-3)
    return (vectors - vectors.mean(axis=1, keepdims=True)) / deviation


def pooled(backbone):
    """What the ends of the three blocks of the tiny backbone give, averaged over places."""
    ends = [backbone.get_layer(name).output for name in ("re_lu", "re_lu_1", "third_add")]
    return [x.numpy().mean(axis=(1, 2)) for x in keras.Model(backbone.input, ends)(PIXELS)]


def randomize(model):
    random = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(random.normal(0, 0.1, weight.shape))


def fused(model):
    return keras.Model(model.input, model.get_layer("fusion").output)(PIXELS).numpy()


def test_concat_puts_normalized_depths_side_by_side(tiny_backbone, depths):
    model = kx.Classifier(tiny_backbone, 2, depths=depths)
    expected = np.hstack([normalized(x) for x in pooled(tiny_backbone)])
    np.testing.assert_allclose(fused(model), expected, atol=1e-4)


def projections(model, backbone, depths):
    layers = [model.get_layer(f"{name}_projection") for name in depths]
    return [
        normalized(x) @ layer.kernel.numpy() + layer.bias.numpy()
        for x, layer in zip(pooled(backbone), layers, strict=True)
    ]


def test_pool_averages_projections(tiny_backbone, depths):
    model = kx.Classifier(tiny_backbone, 2, depths=depths, fusion="pool")
    expected = np.mean(projections(model, tiny_backbone, depths), axis=0)
    np.testing.assert_allclose(fused(model), expected, atol=1e-4)


def test_attention_averages_projections_by_softmax_shares(tiny_backbone, depths):
    model = kx.Classifier(tiny_backbone, 2, depths=depths, fusion="attention")
    randomize(model)
    rows = np.stack(projections(model, tiny_backbone, depths), axis=1)
    hidden, scores = model.get_layer("attention_hidden"), model.get_layer("attention_scores")
    scored = np.tanh(rows @ hidden.kernel.numpy() + hidden.bias.numpy()) @ scores.kernel.numpy()
    shares = np.exp(scored) / np.exp(scored).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fused(model), (shares * rows).sum(axis=1), atol=1e-3)
    found = kx.layer_attention(model, PIXELS)
    assert list(found) == depths
    np.testing.assert_allclose(np.stack(list(found.values()), 1), shares[..., 0], atol=1e-4)
    assert np.ptp(shares[:, 0]) > 1e-4  # depends on the picture


def test_attention_begins_with_an_even_share_and_learns(tiny_backbone, tiny_data, depths):
    model = kx.Classifier(tiny_backbone, 2, depths=depths, fusion="attention")
    np.testing.assert_allclose(list(kx.layer_attention(model, PIXELS).values()), 1 / 3, rtol=1e-6)
    kx.fine_tune(model, tiny_data.train, epochs=2, verbose=0)
    shares = np.stack(list(kx.layer_attention(model, tiny_data.test).values()), axis=1)
    assert shares.shape == (8, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    assert np.abs(shares - 1 / 3).max() > 1e-3


def test_model_without_attention_says_so(tiny_backbone, depths):
    for model in (
        kx.Classifier(tiny_backbone, 2, depths=depths),
        kx.Classifier(tiny_backbone, 2, fusion="attention"),
    ):
        with pytest.raises(ValueError, match='fusion="attention".*Received: model \'tiny_class'):
            kx.layer_attention(model, PIXELS)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_one_depth_has_the_head_it_had_before(tiny_backbone, depths, fusion):
    names = ["pixels", "tiny", "average_pooling", "logits"]
    for model in (
        kx.Classifier(tiny_backbone, 2, fusion=fusion),
        kx.Classifier([tiny_backbone], 2, depths=[depths[1]], fusion=fusion),
    ):
        assert [layer.name for layer in model.layers] == names
        assert model.name == "tiny_classifier"


def test_fusion_that_is_not_there_is_refused(tiny_backbone):
    with pytest.raises(ValueError, match="Received: fusion='sum'"):
        kx.Classifier(tiny_backbone, 2, fusion="sum")


@pytest.mark.parametrize(
    ("fusion", "policy"),
    [
        ("concat", "mixed_float16"),
        ("pool", "mixed_bfloat16"),
        ("attention", "mixed_float16"),
        ("attention", "mixed_bfloat16"),
    ],
)
def test_outputs_are_float32_under_any_policy(fusion, policy):
    keras.config.set_dtype_policy(policy)
    pixels = keras.Input((32, 32, 3), dtype="float32")
    x = keras.layers.Conv2D(4, 3, 4, name="low")(keras.layers.Rescaling(1 / 255)(pixels))
    backbone = keras.Model(pixels, keras.layers.Conv2D(4, 3, name="high")(x), name="small")
    model = kx.Classifier(backbone, 2, depths=["low", "high"], fusion=fusion)
    logits = model(PIXELS)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    if fusion == "attention":
        shares = list(kx.layer_attention(model, PIXELS).values())
        np.testing.assert_allclose(np.sum(shares, axis=0), 1, rtol=1e-6)


@pytest.mark.parametrize(
    "strategy",
    [
        kx.FeatureExtraction(),
        kx.FineTuning(2),
        kx.FineTuning("other/only"),
        kx.FineTuning(1, batch_norm="trainable"),
    ],
    ids=str,
)
def test_strategies_freeze_blocks_of_all_backbones_bit_for_bit(
    strategy, tiny_backbone, other, depths, tiny_data
):
    model = kx.Classifier(
        [tiny_backbone, other], 2, depths=[depths[:2], None], fusion="attention", pooling="avgmax"
    )
    strategy.apply(model)
    inner = {
        "tiny/" + depths[0]: ["first"],
        "tiny/" + depths[1]: ["second"],
        "other/only": ["only"],
    }
    blocks = kx.split_into_blocks(model.get_layer("tiny_other"))
    assert [block.name for block in blocks] == list(inner)
    moving = {layer for block in strategy.trainable_blocks(blocks) for layer in inner[block.name]}
    before = {id(w): w.numpy() for w in model.weights}
    model.compile(
        keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(tiny_data.train, epochs=2, verbose=0, shuffle=False)
    for layer in (*tiny_backbone.layers, *other.layers):
        expected = layer.name.removesuffix("_bn") in moving
        if layer.name.endswith("_bn") and strategy.batch_norm == "frozen":
            expected = False
        if layer.name not in ("third", "third_bn"):  # above the last depth: not in the model
            for weight in layer.weights:
                assert np.array_equal(before[id(weight)], weight.numpy()) != expected, weight.path
    kernel = model.get_layer("attention_scores").kernel
    assert not np.array_equal(before[id(kernel)], kernel.numpy())


def test_regressor_shares_features_too(tiny_backbone, depths):
    model = kx.Regressor(tiny_backbone, 2, depths=depths, fusion="pool")
    assert (model.output_shape, model.layers[-1].name) == ((None, 2), "values")


@pytest.mark.slow
def test_saved_models_load_in_a_program_without_this_package(
    tiny_backbone, other, depths, tmp_path
):
    shared = {
        fusion: kx.Classifier(tiny_backbone, 2, depths=depths, fusion=fusion) for fusion in FUSIONS
    }
    shared["several"] = kx.Classifier(
        [tiny_backbone, other], 2, depths=[depths, None], fusion="attention", pooling="avgmax"
    )
    np.save(tmp_path / "pixels.npy", PIXELS)
    for name, model in shared.items():
        randomize(model)
        model.save(tmp_path / f"{name}.keras")
    code = (
        "import sys, keras, numpy as np\n"
        f"for name in {list(shared)}:\n"
        "    model = keras.models.load_model(f'{name}.keras')\n"
        "    np.save(f'{name}.npy', model(np.load('pixels.npy')).numpy())\n"
        "assert 'keras_transfer' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    for name, model in shared.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), model(PIXELS), atol=1e-4)
    loaded = keras.models.load_model(tmp_path / "several.keras")
    found = kx.layer_attention(loaded, PIXELS)
    assert list(found) == [*(f"tiny/{name}" for name in depths), "other"]
    for name, shares in kx.layer_attention(shared["several"], PIXELS).items():
        np.testing.assert_allclose(found[name], shares, atol=1e-5)


@pytest.mark.slow
def test_shared_features_are_exported(tiny_backbone, other, depths, tmp_path, encode):
    model = kx.Classifier(
        [tiny_backbone, other], ["a", "b"], depths=[depths, None], fusion="attention"
    )
    randomize(model)
    model.resize = "stretch"
    version = kx.export(model, tmp_path / "models")
    picture = encode(PIXELS[0].astype("uint8"))
    [answer] = LocalModel(version).predict([picture])
    logits = model(PIXELS[:1].astype("uint8").astype("float32")).numpy()[0]
    assert answer["label"] == ["a", "b"][logits.argmax()]
