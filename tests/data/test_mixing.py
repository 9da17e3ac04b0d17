import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.data.mixing import mix, mixing_layers

N, SIZE = 16, 64
# Picture k has value k everywhere, so that its pixels tell what it was mixed of.
PICTURES = np.broadcast_to(np.arange(N, dtype="float32")[:, None, None, None], (N, SIZE, SIZE, 3))
LABELS = np.eye(N, dtype="float32")
WEIGHTS = np.linspace(0.5, 3.0, N).astype("float32")


def shares(pictures):
    """What share of the pixels of each picture comes from which one."""
    return np.stack([(pictures[..., 0] == k).mean(axis=(1, 2)) for k in range(N)], axis=-1)


def test_mix_up_mixes_labels_as_it_mixes_pictures():
    pictures, labels = mix([keras.layers.MixUp(1.0, seed=0)], PICTURES, LABELS)
    np.testing.assert_allclose(labels.numpy() @ np.arange(N), pictures[:, 0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(labels.numpy().sum(axis=-1), 1.0, atol=1e-6)
    assert len(set(np.round(labels.numpy().max(axis=-1), 4))) > N // 2  # a share for each picture


def test_cut_mix_labels_are_the_area_that_was_pasted():
    for seed in range(5):
        pictures, labels = mix([keras.layers.CutMix((1.0, 1.0), seed=seed)], PICTURES, LABELS)
        # Keras takes the area of the rectangle before it is cut to whole pixels.
        np.testing.assert_allclose(labels, shares(pictures.numpy()), atol=2 / SIZE)


@pytest.mark.parametrize("layer", [keras.layers.MixUp, keras.layers.CutMix])
def test_weighted_loss_is_that_of_the_parts_with_their_own_weights(layer):
    _, plain = mix([layer(1.0, seed=3)], PICTURES, LABELS)
    _, labels, weights = mix([layer(1.0, seed=3)], PICTURES, LABELS, WEIGHTS)
    logits = np.random.default_rng(0).normal(size=(N, N))
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -(plain.numpy().astype("float64") * WEIGHTS * log_p).sum(axis=-1)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    assert float(loss(labels, logits, weights)) == pytest.approx(expected.mean(), rel=1e-6)
    assert weights.shape == (N,)


def test_examples_without_weight_stay_without():
    _, labels, weights = mix([keras.layers.MixUp(1.0)], PICTURES, LABELS, np.zeros([N, 1]))
    assert not labels.numpy().any()
    assert not weights.numpy().any()


def test_each_batch_goes_through_one_of_several_layers():
    layers = mixing_layers([keras.layers.MixUp(1.0), keras.layers.CutMix((1.0, 1.0))])
    dataset = tf.data.Dataset.from_tensors((PICTURES, LABELS)).repeat(20)
    whole = [
        np.all(pictures == np.round(pictures))
        for pictures, _ in dataset.map(lambda x, y: mix(layers, x, y)).as_numpy_iterator()
    ]
    assert 2 < sum(whole) < 18


@pytest.mark.parametrize("layer", [keras.layers.MixUp, keras.layers.CutMix])
def test_layers_made_under_half_precision_mix_in_float32(layer):
    # Keras's MixUp multiplies halves by its float32 shares, and raises.
    keras.config.set_dtype_policy("mixed_float16")
    halves = mixing_layers(layer(1.0, seed=0))
    keras.config.set_dtype_policy("float32")
    result = mix(halves, PICTURES, LABELS, WEIGHTS)
    whole = mix([layer(1.0, seed=0)], PICTURES, LABELS, WEIGHTS)
    for part, expected in zip(result, whole, strict=True):
        np.testing.assert_array_equal(part, expected)


def test_cut_mix_refuses_pictures_of_unknown_size():
    spec = tf.TensorSpec((None, None, None, 3))
    mixed = tf.function(lambda x: mix([keras.layers.CutMix()], x, LABELS))
    with pytest.raises(ValueError, match=r"fixed size.*\(None, None, None, 3\)"):
        mixed.get_concrete_function(spec)


@pytest.mark.parametrize("mixing", [[], ["mixup"], "mixup"])
def test_what_is_no_layer_is_refused(mixing):
    with pytest.raises(ValueError, match="keras.layers.MixUp.*Received: mixing="):
        mixing_layers(mixing)
