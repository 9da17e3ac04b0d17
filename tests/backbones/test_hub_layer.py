import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).random((8, 32, 32, 3), "float32")


def classifier(layer):
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)))
    model.compile("adam", LOSS)
    return model


def saved(model, path):
    """Compiled models that were never trained cannot be loaded without a warning of Keras."""
    keras.Model(model.input, model.output).save(path)
    return path


def test_features_are_those_of_the_network(module, network, pictures):
    layer = kx.HubLayer(module)
    expected = network(pictures, training=False)
    np.testing.assert_allclose(layer(pictures), expected, atol=1e-6)
    assert layer.takes.shape == (None, 32, 32, 3)


def test_weights_are_the_module_s_own_variables(module):
    layer = kx.HubLayer(module)
    names = [weight.name for weight in layer.trainable_weights]
    assert names == ["kernel", "bias", "gamma", "beta"]
    others = [weight.name for weight in layer.non_trainable_weights]
    assert others[:2] == ["moving_mean", "moving_variance"]
    before = layer(np.ones([1, 32, 32, 3], "float32"))
    layer.trainable_weights[3].assign([1.0, 2.0, 3.0, 4.0])  # the shift of BatchNorm
    after = layer(np.ones([1, 32, 32, 3], "float32"))
    np.testing.assert_allclose(after - before, [[1, 2, 3, 4]], atol=1e-5)


def test_fit_moves_all_weights(module, pictures):
    layer = kx.HubLayer(module)
    before = layer.get_weights()
    classifier(layer).fit(pictures, np.arange(8) % 2, verbose=0)
    assert all((a != b).any() for a, b in zip(before, layer.get_weights(), strict=True))


def test_frozen_layer_stays_bit_for_bit_and_runs_as_in_inference(module, pictures):
    layer = kx.HubLayer(module)
    layer.trainable = False
    before = layer.get_weights()
    classifier(layer).fit(pictures, np.arange(8) % 2, verbose=0)
    assert all((a == b).all() for a, b in zip(before, layer.get_weights(), strict=True))
    np.testing.assert_array_equal(layer(pictures, training=True), layer(pictures))


def test_training_mode_off_trains_without_dropout_or_moving_statistics(module, pictures):
    layer = kx.HubLayer(module, training_mode=False)
    np.testing.assert_array_equal(layer(pictures, training=True), layer(pictures))
    statistics = [weight.numpy() for weight in layer.non_trainable_weights]
    kernel = layer.trainable_weights[0].numpy()
    classifier(layer).fit(pictures, np.arange(8) % 2, verbose=0)
    for old, weight in zip(statistics, layer.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(old, weight)
    assert (layer.trainable_weights[0] != kernel).numpy().any()


def test_regularization_loss_is_added_while_training(module, pictures):
    layer = kx.HubLayer(module)
    layer(pictures, training=True)
    expected = 0.01 * np.sum(layer.trainable_weights[0].numpy() ** 2)
    np.testing.assert_allclose(layer.losses, [expected], rtol=1e-5)
    layer.trainable = False
    layer(pictures, training=True)
    assert layer.losses == []


def test_saved_model_loads_where_the_module_is_not(module, pictures, tmp_path):
    layer = kx.HubLayer(module)
    model = classifier(layer)
    model.fit(pictures, np.arange(8) % 2, verbose=0)
    expected = model.predict(pictures, verbose=0)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pictures.npy", pictures)
    shutil.rmtree(module)
    code = f"""
import keras, keras_transfer as kx, numpy as np
kx.HubLayer  # which registers it
model = keras.models.load_model({str(tmp_path / "model.keras")!r})
model.fit(np.load({str(tmp_path / "pictures.npy")!r}), np.zeros(8), epochs=0)
pictures = np.load({str(tmp_path / "pictures.npy")!r})
np.save({str(tmp_path / "given.npy")!r}, model.predict(pictures, verbose=0))
before = model.layers[1].get_weights()
model.fit(pictures, np.zeros(8), verbose=0)
assert all((a != b).any() for a, b in zip(before, model.layers[1].get_weights()))
model.save({str(tmp_path / "again.keras")!r})
np.save({str(tmp_path / "later.npy")!r}, model.predict(pictures, verbose=0))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "given.npy"), expected, atol=1e-6)
    again = keras.models.load_model(tmp_path / "again.keras")
    later = np.load(tmp_path / "later.npy")
    np.testing.assert_allclose(again.predict(pictures, verbose=0), later, atol=1e-6)


def test_frozen_layer_is_frozen_after_loading(module, tmp_path):
    layer = kx.HubLayer(module)
    layer.trainable = False
    loaded = keras.models.load_model(saved(classifier(layer), tmp_path / "model.keras"))
    assert len(loaded.trainable_variables) == 2  # those of the head


def test_loading_prefers_the_file_s_graph_to_another_module_at_its_place(
    module, network, save_module, pictures, tmp_path
):
    model = classifier(kx.HubLayer(module))
    expected = model.predict(pictures, verbose=0)
    saved(model, tmp_path / "model.keras")
    shutil.rmtree(module)
    pooled = keras.layers.GlobalMaxPooling2D()(network.layers[-2].output)
    other = keras.Model(network.input, pooled)
    save_module(other, pathlib.Path(module))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(pictures, verbose=0), expected, atol=1e-6)


def test_config_alone_says_where_the_module_is_missed(module, pictures):
    config = kx.HubLayer(module).get_config()
    config["module"]["digest"] = "of a module that nobody holds"
    layer = kx.HubLayer.from_config(config)
    assert len(layer.weights) == 7  # the state of dropout, too
    with pytest.raises(ValueError, match=r"load the whole `\.keras` file.*Received: no SavedModel"):
        layer(pictures)


def test_clone_has_weights_of_its_own(module, pictures):
    model = classifier(kx.HubLayer(module))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    expected = model.predict(pictures, verbose=0)
    np.testing.assert_allclose(clone.predict(pictures, verbose=0), expected, atol=1e-6)
    clone.compile("adam", LOSS)
    clone.fit(pictures, np.zeros(8), verbose=0)
    np.testing.assert_array_equal(model.predict(pictures, verbose=0), expected)


def test_export_predicts_the_same(module, pictures, tmp_path):
    model = classifier(kx.HubLayer(module))
    model.export(str(tmp_path / "export"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    expected = model.predict(pictures, verbose=0)
    np.testing.assert_allclose(loaded.serve(pictures), expected, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float32"])
def test_half_precision_ends_at_the_module_s_borders(module, network, pictures, policy):
    layer = kx.HubLayer(module, dtype=policy)
    features = layer(pictures)
    assert features.dtype == keras.DTypePolicy(policy).compute_dtype
    expected = tf.cast(network(pictures, training=False), features.dtype)
    np.testing.assert_array_equal(tf.cast(features, "float32"), tf.cast(expected, "float32"))
    assert {weight.dtype for weight in layer.trainable_weights} == {"float32"}


REPLICAS = """
import sys, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
keras.config.set_dtype_policy(sys.argv[2])
pictures = np.random.default_rng(0).random((8, 32, 32, 3), "float32")
def train(strategy, trainable):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        layer = kx.HubLayer(sys.argv[1], training_mode=False)
        layer.trainable = trainable
        inputs = keras.Input((32, 32, 3))
        model = keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(layer(inputs)))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss)
    before = layer.get_weights()[:4]
    model.fit(pictures, np.arange(8) % 2, batch_size=8, shuffle=False, verbose=0)
    return before, layer.get_weights()[:4], model.get_weights()
two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
before, after, ours = train(two, True)
assert all((a != b).any() for a, b in zip(before, after))
*_, single = train(tf.distribute.get_strategy(), True)
before, after, _ = train(two, False)
assert all((a == b).all() for a, b in zip(before, after))
print(max(np.abs(a - b).max() for a, b in zip(ours, single)))
"""


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [("float32", 1e-6), ("mixed_float16", 1e-2)],
)
@pytest.mark.slow
def test_two_replicas_train_it_as_one_does_and_freeze_it(module, policy, tolerance):
    command = [sys.executable, "-c", REPLICAS, module, policy]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < tolerance


def test_dict_inputs_and_outputs(save_module, tmp_path):
    ids, mask = keras.Input([4], dtype="int32", name="ids"), keras.Input([4], name="mask")
    vectors = keras.layers.Embedding(10, 3)(ids) * keras.ops.expand_dims(mask, -1)
    pooled = keras.ops.mean(vectors, axis=1)
    network = keras.Model({"ids": ids, "mask": mask}, {"pooled": pooled, "sequence": vectors})
    layer = kx.HubLayer(save_module(network, tmp_path / "text"), output_key="pooled")
    given = {"ids": np.arange(8).reshape(2, 4), "mask": np.ones([2, 4])}
    np.testing.assert_allclose(layer(given), network(given)["pooled"], atol=1e-6)
    all_of_them = kx.HubLayer(tmp_path / "text")(given)
    assert sorted(all_of_them) == ["pooled", "sequence"]
    with pytest.raises(ValueError, match=r"dict of inputs with \['ids', 'mask'\].*\['ids'\]"):
        layer({"ids": given["ids"]})
    with pytest.raises(ValueError, match="output_key='nothing', outputs=.'pooled', 'sequence'."):
        kx.HubLayer(tmp_path / "text", output_key="nothing")(given)


def test_vocabulary_files_go_with_what_is_saved_and_exported(tmp_path):
    (tmp_path / "words.txt").write_text("good\nbad\n")
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(tmp_path / "words.txt"), tf.string, 0, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        ),
        num_oov_buckets=1,
    )
    module = tf.train.Checkpoint(table=table, vectors=tf.Variable([[1.0], [2.0], [3.0]]))
    module.__call__ = tf.function(
        lambda words: tf.gather(module.vectors, table.lookup(words)),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    module.variables = module.trainable_variables = [module.vectors]
    tf.saved_model.save(module, str(tmp_path / "module"))
    backbone = kx.load_backbone(f"tfhub://{tmp_path / 'module'}")
    assert backbone.input.dtype == "string"
    model = keras.Model(backbone.input, keras.layers.Dense(1)(backbone.output))
    words = tf.constant(["bad", "good", "new"])
    expected = model(words)
    model.save(tmp_path / "model.keras")
    for path in ("module", "words.txt"):
        shutil.move(tmp_path / path, tmp_path / f"{path}.away")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(words), expected)
    loaded.export(str(tmp_path / "export"), verbose=False)
    del loaded
    served = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(served.serve(words), expected)


def test_tf1_module_gives_features_and_refuses_to_be_trained(tf1_module):
    layer = kx.HubLayer(tf1_module)
    np.testing.assert_allclose(layer(np.ones([2, 3], "float32")), np.full([2, 3], 3.0))
    assert not layer.trainable
    assert len(layer.weights) == 1
    with pytest.raises(ValueError, match="saved by TensorFlow 1.*Received: trainable=True"):
        kx.HubLayer(tf1_module, trainable=True)
    inputs = keras.Input([3])
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)))
    model.compile("adam", LOSS)
    model.fit(np.ones([4, 3]), np.zeros(4), verbose=0)
    layer.trainable = True
    model.compile("adam", LOSS)
    with pytest.raises(ValueError, match="feature extraction alone, as it was saved by TensorFlow"):
        model.fit(np.ones([4, 3]), np.zeros(4), verbose=0)


def test_tf1_module_survives_saving(tf1_module, tmp_path):
    layer = kx.HubLayer(tf1_module)
    inputs = keras.Input([3])
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    shutil.rmtree(tf1_module)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(np.ones([2, 3])), np.full([2, 3], 3.0))


def test_bare_signature_gives_features_and_refuses_to_be_trained(network, pictures, tmp_path):
    network.export(str(tmp_path / "export"), verbose=False)
    layer = kx.HubLayer(tmp_path / "export")
    expected = network(pictures, training=False)
    np.testing.assert_allclose(layer(pictures), expected, atol=1e-6)
    assert "is for inference alone" in layer.cannot_train
    with pytest.raises(ValueError, match="signature='other', with signatures"):
        kx.HubLayer(tmp_path / "export", signature="other")


def test_strategies_say_that_a_module_is_one_block(module):
    backbone = kx.load_backbone(f"tfhub://{module}")
    model = kx.Classifier(backbone, 2)
    assert [block.name for block in kx.split_into_blocks(backbone)] == ["module"]
    for strategy in (kx.FineTuning(blocks=2), kx.GradualUnfreezing(stages=3)):
        with pytest.raises(ValueError, match="A TF Hub module is one block"):
            strategy.apply(model)


def test_strategies_say_why_a_module_cannot_be_trained(tf1_module):
    backbone = kx.load_backbone(f"tfhub://{tf1_module}", output_key="default")
    model = kx.Classifier(backbone, 2)
    kx.FeatureExtraction().apply(model)
    with pytest.raises(ValueError, match=r"FeatureExtraction: it was saved.*Received: FineTuning"):
        kx.FineTuning().apply(model)
    assert len(model.trainable_variables) == 2  # nothing has changed


def test_strategies_freeze_batch_norm_inside_a_module(module, pictures):
    model = kx.Classifier(kx.load_backbone(f"tfhub://{module}"), 2)
    layer = model.layers[1].get_layer("module")
    kx.FineTuning().apply(model)
    assert layer.trainable
    assert not layer.training_mode
    kx.FineTuning(batch_norm="trainable").apply(model)
    assert layer.training_mode


@pytest.mark.parametrize("kind", ["empty", "missing", "damaged", "text"])
def test_folder_that_is_no_module_is_refused(tmp_path, kind):
    place = tmp_path / "place"
    if kind == "text":
        place.write_text("no module")
    elif kind != "missing":
        place.mkdir()
    if kind == "damaged":
        (place / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises((ValueError, FileNotFoundError), match="Received: .*place"):
        kx.HubLayer(place)
