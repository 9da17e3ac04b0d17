import keras
import numpy as np
import pytest

import keras_transfer as kx


@pytest.fixture(scope="module")
def keras_hub():
    return pytest.importorskip("keras_hub")


@pytest.fixture
def network(keras_hub):
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )


@pytest.fixture
def preset(keras_hub, network, tmp_path):
    """The folder of a preset for pictures, with the scaling of ImageNet's torch models."""
    network.save_to_preset(tmp_path / "preset")
    converter = keras_hub.layers.ResNetImageConverter(
        image_size=(64, 64), scale=[0.01, 0.02, 0.03], offset=[-1.0, 0.0, 1.0]
    )
    converter.save_to_preset(tmp_path / "preset")
    return tmp_path / "preset"


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("uint8")


def test_pixels_are_scaled_as_the_preset_says(preset, network, pixels):
    backbone = kx.load_backbone(f"keras_hub://{preset}", input_shape=(64, 64, 3))
    assert backbone.input_shape == (None, 64, 64, 3)
    expected = network(pixels * np.array([0.01, 0.02, 0.03]) + [-1, 0, 1])
    np.testing.assert_allclose(backbone(pixels), expected, atol=1e-4)


def test_value_range_takes_the_place_of_the_preset_s_scaling(preset, network, pixels):
    backbone = kx.load_backbone(f"keras_hub://{preset}", value_range=(-1, 1))
    np.testing.assert_allclose(backbone(pixels), network(pixels / 127.5 - 1), atol=1e-4)


def test_layers_are_the_model_s_own_in_blocks(preset):
    backbone = kx.load_backbone(f"keras_hub://{preset}")
    names = [block.name for block in kx.split_into_blocks(backbone)]
    assert names == ["conv1_conv", "stack0_block0", "stack1_block0"]
    model = kx.Classifier(backbone, 2)
    kx.FineTuning(blocks=1).apply(model)
    moving = {weight.path.split("/")[0] for weight in backbone.trainable_weights}
    assert all(path.startswith("stack1_block0") for path in moving)


def test_saved_model_gives_the_same(preset, pixels, tmp_path):
    model = kx.Classifier(kx.load_backbone(f"keras_hub://{preset}"), 2, pooling="avgmax")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(pixels), model(pixels), atol=1e-5)


def test_preset_for_text_takes_ids_and_masks(keras_hub, tmp_path):
    network = keras_hub.models.DistilBertBackbone(30, 2, 2, 8, 16, dropout=0.3)
    network.save_to_preset(tmp_path)
    backbone = kx.load_backbone(f"keras_hub://{tmp_path}")
    tokens = {"token_ids": np.array([[1, 2, 0]]), "padding_mask": np.array([[1, 1, 0]])}
    np.testing.assert_allclose(backbone(tokens), network(tokens), atol=1e-5)
    np.testing.assert_array_equal(backbone(tokens, training=True), backbone(tokens))


def test_preset_without_a_scaling_asks_for_the_range(network, tmp_path):
    network.save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="pass `value_range`"):
        kx.load_backbone(f"keras_hub://{tmp_path}")
    assert kx.load_backbone(f"keras_hub://{tmp_path}", value_range=(0, 255))


@pytest.mark.parametrize("name", ["no_such_preset", "{folder}"])
def test_name_that_is_no_preset_is_refused(keras_hub, tmp_path, name):
    with pytest.raises(ValueError, match="Expected a preset of KerasHub.*Received: "):
        kx.load_backbone(f"keras_hub://{name.format(folder=tmp_path)}")


@pytest.mark.filterwarnings("ignore:Skipping")  # Keras's, before it gives up
def test_weights_that_do_not_fit_the_config_are_refused(keras_hub, preset):
    other = keras_hub.models.ResNetBackbone(
        [64], [7], [64, 64], [2, 1], [1, 2], "basic_block", image_shape=(None, None, 3)
    )
    other.save_weights(preset / "model.weights.h5")
    with pytest.raises(ValueError, match="weights fit its config"):
        kx.load_backbone(f"keras_hub://{preset}")
