import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.methods.method import DomainBatch
from keras_transfer.adaptation.methods.reconstruction import reconstruction_error

PIXELS = (9, 12, 3)


def pictures(number, seed):
    random = np.random.default_rng(seed)
    arrays = {
        "inputs": random.integers(0, 256, (number, *PIXELS)),
        "features": random.normal(size=(number, 6)),
        "weights": random.uniform(size=number),
    }
    batch = DomainBatch(
        inputs=tf.constant(arrays["inputs"], tf.uint8),
        features=(tf.constant(arrays["features"], tf.float32),),
        logits=tf.zeros([number, 2]),
        labels=None,
        weights=tf.constant(arrays["weights"], tf.float32),
        classify=None,
    )
    return arrays, batch


def prepared(method):
    method.prepare([6], 2, [keras.KerasTensor((None, *PIXELS), "float32")])
    return method


def test_error_matches_loops():
    random = np.random.default_rng(0)
    x, y, w = random.normal(size=(5, 4, 3)), random.normal(size=(5, 4, 3)), random.uniform(size=5)
    expected = sum(w[i] * sum((x[i] - y[i]).ravel() ** 2) / 12 for i in range(5)) / w.sum()
    found = reconstruction_error(*(tf.constant(z) for z in (x, y, w)))
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("include_source", [False, True])
def test_term_of_pictures_matches_numpy(include_source):
    decoder = keras.Sequential([keras.layers.Dense(324), keras.layers.Reshape(PIXELS)])
    method = prepared(kx.Reconstruction(decoder, include_source=include_source))
    kernel, bias = (weight.numpy() for weight in decoder.weights)
    errors, batches = [], []
    for arrays, batch in (pictures(5, 0), pictures(3, 1)):
        outputs = arrays["features"] @ kernel + bias
        squares = (arrays["inputs"].reshape(len(outputs), -1) / 255 - outputs) ** 2
        errors.append(np.average(squares.mean(1), weights=arrays["weights"]))
        batches.append(batch)
    expected = np.mean(errors) if include_source else errors[1]
    assert float(method.term(*batches)) == pytest.approx(expected, rel=1e-5)


def test_scale_divides_the_inputs():
    decoder = keras.Sequential([keras.layers.Dense(324), keras.layers.Reshape(PIXELS)])
    method = prepared(kx.Reconstruction(decoder, scale=100.0))
    decoder.set_weights([np.zeros([6, 324]), np.zeros(324)])
    arrays, batch = pictures(3, 1)
    squares = (arrays["inputs"].reshape(3, -1) / 100) ** 2
    expected = np.average(squares.mean(1), weights=arrays["weights"])
    assert float(method.term(batch, batch)) == pytest.approx(expected, rel=1e-5)


def test_default_decoder_learns_pictures_of_an_odd_size():
    method = prepared(kx.Reconstruction())
    batch = pictures(4, 0)[1]
    optimizer = keras.optimizers.Adam(1e-2)
    terms = []
    for _ in range(40):
        with tf.GradientTape() as tape:
            terms.append(method.term(batch, batch))
        variables = method.trainable_variables
        gradients = tape.gradient(terms[-1], [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
    assert terms[-1] < 0.5 * terms[0]


def test_configuration_keeps_the_decoder():
    decoder = keras.Sequential([keras.layers.Dense(324), keras.layers.Reshape(PIXELS)])
    method = kx.Reconstruction(decoder, scale=2.0)
    same = kx.Reconstruction.from_config(method.get_config())
    assert [type(layer) for layer in same.decoder.layers] == [
        keras.layers.Dense,
        keras.layers.Reshape,
    ]


@pytest.mark.parametrize(
    ("shape", "dtype"), [((None,), "int32"), ((None, None, 3), "float32"), ((4,), "string")]
)
def test_inputs_that_cannot_be_reconstructed_raise(shape, dtype):
    with pytest.raises(ValueError, match=f"Received: {dtype}"):
        kx.Reconstruction().prepare([6], 2, keras.KerasTensor((None, *shape), dtype))


def test_several_inputs_raise():
    inputs = [keras.KerasTensor((None, 4), "float32")] * 2
    with pytest.raises(ValueError, match=r"float32 \(None, 4\), float32 \(None, 4\)"):
        kx.Reconstruction().prepare([6], 2, inputs)


def test_a_decoder_of_another_shape_raises():
    with pytest.raises(ValueError, match=r"\(9, 12, 3\).*gives \(5,\)"):
        prepared(kx.Reconstruction(keras.Sequential([keras.layers.Dense(5)])))


def test_a_scale_out_of_range_raises():
    with pytest.raises(ValueError, match="scale=0"):
        kx.Reconstruction(scale=0)
