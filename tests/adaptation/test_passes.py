import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.adaptation.passes import Passes

RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(size=(6, 4)).astype("float32")
TARGET = RANDOM.normal(3, 2, size=(4, 4)).astype("float32")
LABELS = np.array([0, 1, 0, 1, 1, 0])
MOMENTUM = 0.8


def make():
    """BatchNorm first, so that what it sees are the inputs, and once more."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input([4]),
        keras.layers.BatchNormalization(momentum=MOMENTUM, name="first"),
        keras.layers.Dense(5, activation="relu"),
        keras.layers.BatchNormalization(momentum=MOMENTUM, name="second"),
    ]
    model = kx.Classifier(keras.Sequential(layers), 2)
    model.layers[-1].kernel.assign(np.random.default_rng(1).normal(size=(5, 2)))
    return model


def first(model):
    return model.layers[1].layers[0]


def statistics(model):
    """Mean and variance of both layers."""
    return [w.numpy() for w in model.non_trainable_weights]


def data():
    source = tf.data.Dataset.from_tensors((SOURCE, LABELS))
    return kx.pair_domains(source, tf.data.Dataset.from_tensors(TARGET))


def adaptation(model, normalization, *, rate=0.1, **options):
    adapted = kx.DomainAdaptation(
        model, kx.DeepCoral(), normalization=normalization, schedule="constant", **options
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adapted.compile(keras.optimizers.SGD(rate), loss)
    return adapted


def moved(x):
    """Moving mean and variance, which begin at 0 and 1, after a batch."""
    x = x.astype("float64")
    return (1 - MOMENTUM) * x.mean(0), MOMENTUM + (1 - MOMENTUM) * x.var(0)


def assert_first_has_seen(model, x):
    layer = first(model)
    for found, wanted in zip((layer.moving_mean, layer.moving_variance), moved(x), strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_joint_statistics_are_those_of_both_domains_at_once():
    model = make()
    adapted = adaptation(model, "joint")
    adapted.fit(data(), verbose=0)
    assert_first_has_seen(model, np.concatenate([SOURCE, TARGET]))
    assert adapted.source_statistics == []


def test_joint_training_has_the_statistics_of_inference():
    # One pass a domain would normalize each by itself in training and by a mixture later: what
    # is compared would then not be what is predicted from.
    model = make()
    adapted = adaptation(model, "joint")
    outputs = adapted({"source": SOURCE, "target": TARGET}, training=True)
    both = model(np.concatenate([SOURCE, TARGET]), training=True)
    found = np.concatenate([outputs["source"][-1], outputs["target"][-1]])
    np.testing.assert_allclose(found, both, atol=1e-6)
    apart = np.concatenate([model(SOURCE, training=True), model(TARGET, training=True)])
    assert np.abs(found - apart).max() > 0.1


def test_statistics_per_domain_are_apart_and_the_model_keeps_those_of_the_target():
    model = make()
    adapted = adaptation(model, "per_domain")
    adapted.fit(data(), verbose=0)
    assert_first_has_seen(model, TARGET)
    with adapted.as_source():
        assert_first_has_seen(model, SOURCE)
    assert_first_has_seen(model, TARGET)
    mean, variance = moved(SOURCE)
    found = [x.numpy() for x in adapted.source_statistics if x.shape == (4,)]
    np.testing.assert_allclose(found, [mean, variance], rtol=1e-5, atol=1e-6)


def test_batches_of_a_domain_are_normalized_by_themselves():
    model = make()
    adapted = adaptation(model, "per_domain")
    outputs = adapted({"source": SOURCE, "target": TARGET}, training=True)
    for domain, x in (("source", SOURCE), ("target", TARGET)):
        np.testing.assert_allclose(outputs[domain][-1], model(x, training=True), atol=1e-6)


def test_at_inference_each_domain_has_its_own_statistics():
    model = make()
    adapted = adaptation(model, "per_domain")
    adapted.fit(data(), epochs=3, verbose=0)
    before = statistics(model), [x.numpy() for x in adapted.source_statistics]
    outputs = adapted({"source": SOURCE, "target": TARGET}, training=False)
    np.testing.assert_allclose(outputs["target"][-1], model(TARGET), atol=1e-6)
    with adapted.as_source():
        np.testing.assert_allclose(outputs["source"][-1], model(SOURCE), atol=1e-6)
    assert np.abs(outputs["source"][-1] - model(SOURCE)).max() > 0.1
    after = statistics(model), [x.numpy() for x in adapted.source_statistics]
    keras.tree.map_structure(np.testing.assert_array_equal, after, before)


def test_the_targets_statistics_come_back_after_an_exception():
    model = make()
    adapted = adaptation(model, "per_domain")
    adapted.fit(data(), verbose=0)
    before = statistics(model)
    with contextlib.suppress(KeyError), adapted.as_source():
        assert np.abs(statistics(model)[0] - before[0]).max() > 0.1
        raise KeyError
    keras.tree.map_structure(np.testing.assert_array_equal, statistics(model), before)


def loaded(model):
    """Other statistics of the first layer, as those of a file would be."""
    mean, variance = np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7, 8])
    _, _, *rest = statistics(model)
    for variable, value in zip(model.non_trainable_weights, [mean, variance, *rest], strict=True):
        variable.assign(value)
    return mean, variance


def test_weights_loaded_before_training_are_where_both_domains_begin():
    model = make()
    adapted = adaptation(model, "per_domain")
    adapted.evaluate(data(), verbose=0)  # is no training
    mean, variance = loaded(model)
    with adapted.as_source():
        np.testing.assert_allclose(first(model).moving_mean, mean)
    adapted.fit(data(), verbose=0)
    with adapted.as_source():
        found = statistics(model)[:2]
    wanted = [
        MOMENTUM * mean + (1 - MOMENTUM) * SOURCE.astype("float64").mean(0),
        MOMENTUM * variance + (1 - MOMENTUM) * SOURCE.astype("float64").var(0),
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_weights_loaded_of_a_training_keep_the_domains_apart(tmp_path):
    whole, begun, resumed = (adaptation(make(), "per_domain", rate=0.0) for _ in range(3))
    whole.fit(data(), epochs=4, verbose=0)
    begun.fit(data(), epochs=2, verbose=0)
    begun.save_weights(tmp_path / "begun.weights.h5")
    resumed.load_weights(tmp_path / "begun.weights.h5")
    resumed.fit(data(), epochs=2, verbose=0)
    for found, wanted in zip(resumed.source_statistics, whole.source_statistics, strict=True):
        np.testing.assert_array_equal(found.numpy(), wanted.numpy())


def test_statistics_of_the_source_are_not_rounded_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    model = make()
    adapted = adaptation(model, "per_domain")
    adapted.fit(data(), epochs=3, verbose=0)
    seen, share = SOURCE.astype("float16").astype("float64"), 1 - MOMENTUM**3
    with adapted.as_source():
        found = statistics(model)[:2]
    wanted = [share * seen.mean(0), MOMENTUM**3 + share * seen.var(0)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_as_source_is_the_model_where_there_are_no_statistics_apart():
    model = make()
    adapted = adaptation(model, "joint")
    before = statistics(model)
    with adapted.as_source():
        keras.tree.map_structure(np.testing.assert_array_equal, statistics(model), before)


@pytest.mark.parametrize("normalization", ["joint", "per_domain"])
def test_frozen_layers_keep_their_statistics(normalization):
    model = make()
    kx.FineTuning().apply(model)
    first(model).moving_mean.assign([1.0, 2, 3, 4])
    adapted = adaptation(model, normalization)
    before = statistics(model)
    adapted.fit(data(), epochs=2, verbose=0)
    keras.tree.map_structure(np.testing.assert_array_equal, statistics(model), before)
    with adapted.as_source():
        keras.tree.map_structure(np.testing.assert_array_equal, statistics(model), before)


def test_frozen_freezes_them_bit_for_bit():
    model = make()
    adapted = adaptation(model, "frozen")
    norms = [first(model), model.layers[1].layers[2]]
    assert not any(layer.trainable for layer in norms)
    before = [w.numpy() for layer in norms for w in layer.weights]
    adapted.fit(data(), epochs=2, verbose=0)
    after = [w.numpy() for layer in norms for w in layer.weights]
    keras.tree.map_structure(np.testing.assert_array_equal, after, before)
    assert len(adapted.trainable_weights) == 4


def texts(**head):
    ids = keras.Input([None], dtype="int32", name="token_ids")
    mask = keras.Input([None], dtype="bool", name="padding_mask")
    x = keras.layers.Embedding(9, 4)(ids)
    x = keras.layers.Multiply()([x, keras.ops.cast(mask, "float32")[..., None]])
    inputs = {"token_ids": ids, "padding_mask": mask}
    return kx.Classifier(keras.Model(inputs, x, name="text"), 2, **head)


def tokens(rows, length, labels=None):
    ids = np.random.default_rng(rows).integers(0, 9, (rows, length)).astype("int32")
    inputs = {"token_ids": ids, "padding_mask": np.arange(length) < 2 + np.arange(rows)[:, None]}
    spec = {
        "token_ids": tf.TensorSpec([None, None], tf.int32),
        "padding_mask": tf.TensorSpec([None, None], tf.bool),
    }
    whole, spec = inputs, spec
    if labels is not None:
        whole, spec = (inputs, labels), (spec, tf.TensorSpec([None], tf.int32))
    made = tf.data.Dataset.from_generator(lambda: iter([whole]), output_signature=spec)
    return inputs, made.apply(tf.data.experimental.assert_cardinality(1))


def test_texts_of_other_lengths_are_padded():
    model = texts()
    model.layers[-1].kernel.assign(np.random.default_rng(1).normal(size=(4, 2)))
    (x, source), (y, target) = tokens(5, 7, np.array([0, 1, 1, 0, 1])), tokens(3, 4)
    adapted = adaptation(model, "joint", rate=0.0)
    [features, logits] = adapted({"source": x, "target": y})["target"]
    np.testing.assert_allclose(logits, model(y), atol=1e-6)
    table = model.get_layer("text").get_layer("embedding").get_weights()[0]
    rows = [table[ids[mask]].mean(0) for ids, mask in zip(*y.values(), strict=True)]
    np.testing.assert_allclose(features, rows, atol=1e-6)
    logs = adapted.fit(kx.pair_domains(source, target), verbose=0).history
    assert np.isfinite(logs["adaptation_loss"][0])


def test_pictures_of_no_fixed_size_with_batch_norm_in_training_are_refused():
    (x, source), (y, target) = (
        (np.zeros([n, 9, 9, 3], "float32"), np.zeros(n, int)) for n in (5, 3)
    )
    layers = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
    model = kx.Classifier(keras.Sequential([keras.Input([None, None, 3]), *layers]), 2)
    source, target = tf.data.Dataset.from_tensors((x, source)), tf.data.Dataset.from_tensors(y)
    pairs = kx.pair_domains(source, target)
    with pytest.raises(ValueError, match=r"fixed shape.*'per_domain'.*Received: inputs of"):
        adaptation(model, "joint").fit(pairs, verbose=0)
    for normalization in ("per_domain", "frozen"):
        adaptation(model, normalization).fit(pairs, verbose=0)


def test_statistics_of_padded_texts_are_those_of_both_domains():
    (x, source), (y, target) = tokens(5, 7, np.array([0, 1, 1, 0, 1])), tokens(3, 4)
    model = texts(standardize=True)
    adapted = adaptation(model, "joint", rate=0.0)
    adapted.fit(kx.pair_domains(source, target), verbose=0)
    table = model.get_layer("text").get_layer("embedding").get_weights()[0]
    rows = [
        table[ids[mask]].mean(0) for one in (x, y) for ids, mask in zip(*one.values(), strict=True)
    ]
    norm = model.get_layer("standardization")
    np.testing.assert_allclose(norm.moving_mean, 0.1 * np.mean(rows, 0), atol=1e-6)


def test_passes_without_batch_norm_are_one():
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            calls.append(x.shape)
            return x

    inputs = keras.Input([4])
    model = keras.Model(inputs, [Counting()(inputs), inputs])
    calls.clear()
    [one, _], [other, _] = Passes(model, "joint").run(SOURCE, TARGET, True)
    assert calls == [(10, 4)]
    np.testing.assert_array_equal(one, SOURCE)
    np.testing.assert_array_equal(other, TARGET)


def test_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="'per_domain', 'frozen'.*normalization='mixed'"):
        Passes(make(), "mixed")
